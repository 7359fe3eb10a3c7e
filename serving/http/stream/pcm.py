"""From the bytes of a stream, cut anywhere, to the samples of each channel at the model's rate."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from emotions.audio.decode import SAMPLE_RATE, peak_of
from emotions.audio.resampler import Resampler
from emotions.audio.stream import to_mono
from emotions.audio.windows import FloatArray
from emotions.errors import NotFinite
from serving.http.stream.messages import StreamConfig, StreamError

_SCALE = np.float32(2**-15)


class PcmReader:
    """The samples of one stream.

    Args:
        config: how they are written.
    """

    def __init__(self, config: StreamConfig) -> None:
        self._config = config
        self._rest = b""
        self._resamplers = [Resampler(config.rate, SAMPLE_RATE) for _ in range(config.channels)]

    def read(self, data: bytes) -> list[FloatArray]:
        """Take the next bytes, and give the samples (samples,) of each channel, in -1 to 1 at 16 kHz.

        Raises:
            StreamError: ``invalid_audio_frame``, a sample is no number; the bytes are dropped.
        """
        held = self._rest + data
        frame = self._config.sample_bytes * self._config.channels
        whole = len(held) // frame * frame
        self._rest = held[whole:]
        channels = [to_mono(channel[None]) for channel in self._samples(held[:whole])]
        for channel in channels:
            _check(channel)
        return [each.push(channel) for each, channel in zip(self._resamplers, channels, strict=True)]

    def finish(self) -> list[FloatArray]:
        """The last samples of each channel."""
        return [each.finish() for each in self._resamplers]

    def _samples(self, data: bytes) -> FloatArray:
        """(channels, samples) float32."""
        if self._config.encoding == "pcm_f32le":
            written: npt.NDArray[np.float32] = np.frombuffer(data, "<f4")
            return written.reshape(-1, self._config.channels).T
        integers: npt.NDArray[np.int16] = np.frombuffer(data, "<i2").reshape(-1, self._config.channels)
        scaled: FloatArray = np.multiply(integers.T, _SCALE, dtype=np.float32)
        return scaled


def _check(samples: FloatArray) -> None:
    try:
        peak_of(samples)
    except NotFinite as error:
        raise StreamError("invalid_audio_frame", f"the frame {error}") from error
