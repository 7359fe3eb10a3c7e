"""How the audio of a stream is written, and its blocks as bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from emotions.errors import AudioError

Encoding = Literal["pcm_s16le", "pcm_f32le"]
Block = bytes | npt.NDArray[Any]
"""Audio: bytes in the encoding of the stream, or an array of float or int16, (samples,) or (samples, channels)."""
_BLOCK_BYTES = 64 << 10
"""Of a message, as larger blocks are cut: the service answers between two."""


@dataclass(frozen=True)
class StreamOptions:
    """How the audio of a stream is written, and what is to be said of it.

    Attributes:
        rate: samples per second of each channel.
        encoding: of the samples that are sent.
        channels: each is a participant of its own.
        interval_ms: milliseconds of audio between two measurements.
        vad: find speech, and classify it alone; else all of the audio.
        targets: of the model; None for all.
    """

    rate: int = 16_000
    encoding: Encoding = "pcm_s16le"
    channels: int = 1
    interval_ms: int = 1000
    vad: bool = True
    targets: Sequence[str] | None = None

    def update(self) -> str:
        """The message ``session.update``."""
        session = {name: value for name, value in vars(self).items() if value is not None}
        return json.dumps({"type": "session.update", "session": session}, default=list)

    def messages(self, block: Block) -> Iterator[bytes]:
        """A block of audio in binary messages.

        Raises:
            AudioError: it is no array of samples of these channels.
        """
        data = block if isinstance(block, bytes) else self._encoded(block)
        yield from (data[at : at + _BLOCK_BYTES] for at in range(0, len(data), _BLOCK_BYTES))

    def _encoded(self, block: npt.NDArray[Any]) -> bytes:
        if block.shape[1:] not in {(), (self.channels,)} or (block.ndim == 1 and self.channels > 1):
            raise AudioError(f"audio of {self.channels} channels is (samples, channels), got {block.shape}")
        if block.dtype == np.int16:
            whole = block if self.encoding == "pcm_s16le" else block / np.float32(32_768)
        elif np.issubdtype(block.dtype, np.floating):
            whole = block if self.encoding == "pcm_f32le" else np.round(np.clip(block, -1, 1) * 32_767)
        else:
            raise AudioError(f"audio is bytes, or an array of float or int16, got {block.dtype}")
        return whole.astype("<i2" if self.encoding == "pcm_s16le" else "<f4").tobytes()
