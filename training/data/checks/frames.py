"""The fingerprints of all clips, one after the other, so that many pairs are compared at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emotions.audio.windows import Float64Array, IntArray
from training.data.checks.fingerprints import Bits

MIN_FRAMES = 40
"""Frames that two clips must have in common, 0.4 s."""
_AT_ONCE = 1 << 20
"""Frames compared at once, to bound memory."""


class Frames:
    """The frames of all clips.

    Args:
        fingerprints: of each clip, (frames,) uint32, 0 where it is silent.

    Attributes:
        bits: (frames,) uint32 of all clips.
        lengths: (clips,) int64, the frames of each.
        starts: (clips + 1,) int64, where each begins in ``bits``, and where the last one ends.
    """

    def __init__(self, fingerprints: Sequence[Bits]) -> None:
        self.bits: Bits = np.concatenate([np.zeros(0, np.uint32), *fingerprints])
        self.lengths = np.array([*map(len, fingerprints)], np.int64)
        self.starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(self.lengths)])

    def __len__(self) -> int:
        return len(self.bits)

    def common(self, pairs: IntArray) -> IntArray:
        """(pairs,) frames that clips have at the same time; below 0 where there is time between them.

        Args:
            pairs: (pairs, 3) int64: a clip, another, and by how many frames that is late.
        """
        clip, late, shift = pairs.T
        frames: IntArray = np.minimum(self.lengths[clip], self.lengths[late] - shift) - np.maximum(0, -shift)
        return frames

    def aligned(self, pairs: IntArray) -> tuple[Bits, Bits]:
        """Twice (pairs, frames) uint32: the frames that both clips have at the same time, then zeros.

        Args:
            pairs: as of ``common``.
        """
        clip, late, shift = pairs.T
        frames = self.common(pairs)
        at = np.arange(int(frames.max(initial=0)))
        inside = at < frames[:, None]
        starts = (self.starts[clip] + np.maximum(0, -shift), self.starts[late] + np.maximum(0, shift))
        one, other = (np.where(inside, self.bits[np.where(inside, start[:, None] + at, 0)], 0) for start in starts)
        return one, other

    def compared(self, pairs: IntArray) -> tuple[IntArray, Float64Array]:
        """The pairs with ``MIN_FRAMES`` loud frames in common, and the share of bits that differ in these.

        Args:
            pairs: as of ``common``.
        """
        frames = self.common(pairs)
        pairs, frames = pairs[frames >= MIN_FRAMES], frames[frames >= MIN_FRAMES]
        parts = np.split(pairs, np.flatnonzero(np.diff(np.cumsum(frames) // _AT_ONCE)) + 1)
        counts = np.concatenate([self._counts(part) for part in parts])
        enough = counts[:, 1] >= MIN_FRAMES
        different, loud = counts[enough].T
        return pairs[enough], different / (32 * loud)

    def _counts(self, pairs: IntArray) -> IntArray:
        """(pairs, 2): bits that differ where both are loud, and how many frames these are."""
        clip, late, shift = pairs.T
        frames = self.common(pairs)
        before = np.cumsum(frames) - frames
        start = self.starts[clip] + np.maximum(0, -shift)
        place = np.repeat(start - before, frames) + np.arange(int(frames.sum()))
        one = self.bits[place]
        place += np.repeat(self.starts[late] + shift - self.starts[clip], frames)
        other = self.bits[place]
        loud = (one != 0) & (other != 0)
        different = np.where(loud, np.bitwise_count(one ^ other), 0)
        return np.stack([np.add.reduceat(each, before, dtype=np.int64) for each in (different, loud)], axis=1)
