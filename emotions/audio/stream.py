"""A recording being read: blocks of mono samples, whichever library decodes it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from emotions.audio.windows import FloatArray
from emotions.errors import NotAudio

_MAX_CHANNELS = 64
_MAX_RATE = 768_000

Blocks = Iterator[FloatArray]


@dataclass(frozen=True)
class Stream:
    """A recording being read.

    Attributes:
        rate: samples per second as recorded, in Hz.
        channels: as recorded.
        blocks: mono float32 (samples,), in -1 to 1.
        part: instead of ``blocks``: from a first sample to a last one (exclusive; None for the end) at ``rate``, gives
            blocks of at least these, and the sample that they begin at, no later than the first.
    """

    rate: int
    channels: int
    blocks: Blocks
    part: Callable[[int, int | None], tuple[int, Blocks]]


Reader = Callable[[BinaryIO], contextlib.AbstractContextManager[Stream]]


def check_shape(rate: int, channels: int) -> None:
    """Refuse a rate in Hz or a number of channels that no recording has; raises NotAudio."""
    if not 0 < rate <= _MAX_RATE or not 0 < channels <= _MAX_CHANNELS:
        raise NotAudio(f"has {channels} channels at {rate} Hz, which is not a recording that we read")


def to_mono(block: npt.NDArray[Any]) -> FloatArray:
    """(channels, samples) to their mean (samples,), in -1 to 1; NaN and infinity are left to be found."""
    mono = np.ascontiguousarray(block[0] if len(block) == 1 else block.mean(axis=0, dtype=np.float32), np.float32)
    peak = max(mono.max(initial=0), -mono.min(initial=0))
    return np.clip(mono, -1, 1) if 1 < peak < np.inf else mono
