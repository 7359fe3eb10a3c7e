"""Pairs of clips that may be copies: those with several equal frames at the same distance in time.

All frames are sorted by their bits once. Then clips are taken in blocks: what the frames of a block have in common with
others is counted and forgotten, so that memory grows with the frames, and not with the pairs that share bits by chance.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from emotions.audio.windows import IntArray
from training.data.checks.frames import MIN_FRAMES, Frames

_MIN_VOTES = 2
_BUCKET = 50  # of equal frames only so many neighbours are paired: hum would make the pairs quadratic
_BLOCK = 1 << 15  # frames whose neighbours are sought at once
_PART = 1 << 20  # frames whose rank is noted at once
_PLACE = np.uint64(0xFFFFFFFF)


def candidates(frames: Frames) -> Iterator[IntArray]:
    """Find pairs of clips, and shifts, with enough equal frames; those that a neighbouring shift has count, too.

    Args:
        frames: of all clips.

    Yields:
        (pairs, 3) int64: a clip, a later one, and by how many frames that is late. All shifts of a pair come at once.
    """
    if not len(frames):
        return
    index = _Index(frames)
    starts = frames.starts[:-1]
    bounds = np.flatnonzero(np.diff(starts // _BLOCK, prepend=-1)).tolist()
    for first, stop in zip(bounds, [*bounds[1:], len(starts)], strict=True):
        yield index.elected(first, stop)


class _Index:
    """Frames in the order of their bits.

    Args:
        frames: of all clips.
    """

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._clip = np.repeat(np.arange(len(frames.lengths), dtype=np.int32), frames.lengths)
        # Bits << 32 | place; after the last come zeros, which equal no loud frame.
        self._ordered: npt.NDArray[np.uint64] = np.zeros(len(frames) + _BUCKET, np.uint64)
        keys = self._ordered[: len(frames)]
        keys[:] = frames.bits
        keys <<= np.uint64(32)
        keys |= np.arange(len(frames), dtype=np.uint64)
        keys.sort()
        self._rank: npt.NDArray[np.uint32] = np.empty(len(frames), np.uint32)  # where each frame stands in this order
        for start in range(0, len(frames), _PART):  # in parts, to bound memory
            part = keys[start : start + _PART]
            self._rank[_place(part)] = np.arange(start, start + len(part), dtype=np.uint32)

    def elected(self, first: int, stop: int) -> IntArray:
        """(pairs, 3) of clips of a block with later ones, at each shift with enough votes.

        Args:
            first: clip of the block.
            stop: the one after its last.
        """
        clips, longest = len(self._frames.lengths), int(self._frames.lengths.max())
        shifts = 2 * longest + 3  # from -longest - 1, a neighbour of the least
        near = [np.zeros(0, np.int64)]
        for pairs in self._votes(first, stop):
            vote = ((pairs[:, 0] - first) * clips + pairs[:, 1]) * shifts + pairs[:, 2] + longest + 1
            near += [vote - 1, vote, vote + 1]
        found, counts = np.unique(np.concatenate(near), return_counts=True)
        pair, shift = np.divmod(found[counts >= _MIN_VOTES], shifts)
        return np.stack([pair // clips + first, pair % clips, shift - longest - 1], axis=1)

    def _votes(self, first: int, stop: int) -> Iterator[IntArray]:
        """(pairs, 3) of each frame of a block and a later one that equals it."""
        starts = self._frames.starts
        for one, other in self._equal(slice(starts[first], starts[stop])):
            clip, late = self._clip[one], self._clip[other]
            pairs = np.stack([clip, late, (other - starts[late]) - (one - starts[clip])], axis=1)
            yield pairs[(clip != late) & (self._frames.common(pairs) >= MIN_FRAMES - 1)]  # a neighbour has one more

    def _equal(self, block: slice) -> Iterator[tuple[IntArray, IntArray]]:
        """Places of the loud frames of a block, and of frames that equal them and come later."""
        here = self._rank[block][self._frames.bits[block] != 0].astype(np.int64)
        own = self._ordered[here]
        for step in range(1, _BUCKET):
            other = self._ordered[here + step]
            same = (own ^ other) <= _PLACE
            if not same.any():
                return
            here, own = here[same], own[same]
            yield _place(own), _place(other[same])


def _place(keys: npt.NDArray[np.uint64]) -> IntArray:
    return (keys & _PLACE).astype(np.int64)
