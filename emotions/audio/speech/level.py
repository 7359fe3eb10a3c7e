"""How loud speech is: the mean power of each segment."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

import numpy as np

from emotions.audio.windows import FloatArray


class Piece(Protocol):
    """A part of a segment of speech: its samples, and whether it is the segment's last one."""

    @property
    def samples(self) -> FloatArray:
        """(samples,) float32."""

    @property
    def last(self) -> bool:
        """Whether the segment ends with it."""


P = TypeVar("P", bound=Piece)


def measured(pieces: Iterable[P], powers: list[float]) -> Iterator[P]:
    """Pass the pieces of segments on, and note the mean square of each segment's samples.

    Args:
        pieces: of segments, one segment after the other.
        powers: takes the mean square of each segment, at its last piece; full scale is 1.
    """
    energy, count = 0.0, 0
    for piece in pieces:
        samples = piece.samples.astype(np.float64)
        energy, count = energy + float(samples @ samples), count + len(samples)
        if piece.last:
            powers.append(energy / max(1, count))
            energy, count = 0.0, 0
        yield piece


def level_dbfs(power: float) -> float | None:
    """A mean square in dB below full scale, 10 log10(power); None for digital silence.

    Full scale is a sample of magnitude 1: a sine of full amplitude is at -3.01 dBFS.

    Args:
        power: mean square of samples.

    Example:
        >>> level_dbfs(0.01)
        -20.0
    """
    return 10 * math.log10(power) if power > 0 else None
