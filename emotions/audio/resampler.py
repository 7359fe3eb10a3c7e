"""Resampling by soxr's high quality setting, block by block."""

from __future__ import annotations

from typing import cast

import numpy as np
import soxr

from emotions.audio.windows import FloatArray


class Resampler:
    """Resamples one mono stream; whatever blocks it comes in, the samples are those of the whole.

    Args:
        rate: its sampling rate, in Hz.
        to: the rate wanted, in Hz.
    """

    def __init__(self, rate: int, to: int) -> None:
        self._stream = None if rate == to else soxr.ResampleStream(rate, to, 1, dtype="float32", quality="HQ")

    def push(self, block: FloatArray) -> FloatArray:
        """Take the next samples (samples,) float32, and give those of the other rate that are certain by them."""
        return block if self._stream is None else cast(FloatArray, self._stream.resample_chunk(block))

    def finish(self) -> FloatArray:
        """The last samples."""
        rest = np.zeros(0, np.float32)
        return rest if self._stream is None else cast(FloatArray, self._stream.resample_chunk(rest, last=True))
