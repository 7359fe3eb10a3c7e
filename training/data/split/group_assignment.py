"""Assigns groups of clips to train, validation and test, with every label's share near the requested one.

Random assignments, the best of them improved by moving one group at a time until no move helps. Of few groups every
assignment is tried, too.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt

from emotions.audio.windows import IntArray

FloatArray = npt.NDArray[np.float64]

_DRAWS = 2000
_DRAWN_GROUPS = 2_000_000  # draws x groups: with many groups fewer draws, to bound the time
_MOVES = 200
_TRIED = 2_000_000  # assignments x labels: of three parts at most ten groups and 33 labels
_ABSENT = np.array([1000.0, 10.0, 12.0])
"""What a label that is absent from train, validation or test costs: more than any distance of shares."""


def assign_groups(counts: IntArray, shares: tuple[float, float], seed: int) -> IntArray:
    """Assign groups to parts.

    Args:
        counts: (groups, labels) clips; at least two groups, three with a test part.
        shares: requested share of clips in validation and test; a test share of 0 leaves the test part empty.
        seed: seed of the draws.

    Returns:
        (groups,) int64: 0 train, 1 validation, 2 test. Each part with a share has a group.
    """
    random = np.random.default_rng(seed)
    every = np.concatenate([counts, counts.sum(1, keepdims=True)], axis=1).astype(np.float64)
    target = np.array([1 - sum(shares), *shares])
    draws = int(np.clip(_DRAWN_GROUPS // len(counts), 20, _DRAWS))
    drawn = (_draw(every[:, -1], target, random) for _ in range(draws))
    best = min(drawn, key=lambda parts: float(_cost(_shares(every, parts), target)))
    return _best_of_all(every, _improve(every, best, target), target)


def _draw(sizes: FloatArray, target: FloatArray, random: np.random.Generator) -> IntArray:
    """Groups in random order: the first ones validate until that part is full, the next ones test."""
    order = random.permutation(len(sizes))
    filled = np.cumsum(sizes[order]) / sizes.sum()
    parts = np.zeros(len(sizes), np.int64)
    val = _nearest(filled, target[1], 1, len(sizes) - 1 - (target[2] > 0))
    parts[order[:val]] = 1
    if target[2]:
        parts[order[val : _nearest(filled, target[1] + target[2], val + 1, len(sizes) - 1)]] = 2
    return parts


def _nearest(filled: FloatArray, share: float, low: int, high: int) -> int:
    """How many groups fill a part nearest to its share, between ``low`` and ``high``."""
    return int(np.clip(np.abs(filled - share).argmin() + 1, low, high))


def _shares(counts: FloatArray, parts: IntArray) -> FloatArray:
    """Share of each label's clips in each part, (parts, labels)."""
    held = np.stack([counts[parts == part].sum(0) for part in range(3)])
    return cast(FloatArray, held / np.maximum(counts.sum(0), 1))


def _cost(shares: FloatArray, target: FloatArray) -> FloatArray:
    """Mean squared distance of shares (..., parts, labels) to the requested ones, (...)."""
    absent = ((shares < 1e-12) & (target[:, None] > 0)) * _ABSENT[:, None]
    return cast(FloatArray, (np.square(shares - target[:, None]) + absent).mean(axis=(-2, -1)))


def _improve(counts: FloatArray, parts: IntArray, target: FloatArray) -> IntArray:
    weights = counts / np.maximum(counts.sum(0), 1)
    rows = np.arange(len(parts))
    for _ in range(_MOVES):
        shares = _shares(counts, parts)
        costs = np.full((3, len(parts)), np.inf)
        for part in np.flatnonzero(target > 0):
            moved = np.repeat(shares[None], len(parts), axis=0)
            moved[rows, parts] -= weights
            moved[rows, part] += weights
            costs[part] = np.where(parts == part, np.inf, _cost(moved, target))
        part, group = np.unravel_index(costs.argmin(), costs.shape)
        if costs[part, group] >= _cost(shares, target) - 1e-12:
            break
        parts[group] = part
    return parts


def _best_of_all(counts: FloatArray, found: IntArray, target: FloatArray) -> IntArray:
    """The best of all assignments where there are few of them, unless what was found is as good."""
    parts, groups = np.flatnonzero(target > 0), len(found)
    if groups * np.log(len(parts)) + np.log(counts.shape[1]) > np.log(_TRIED):
        return found
    every = parts[np.stack(np.unravel_index(np.arange(len(parts) ** groups), (len(parts),) * groups), axis=1)]
    weights = counts / np.maximum(counts.sum(0), 1)
    costs = _cost(np.stack([(every == part).astype(np.float64) @ weights for part in range(3)], axis=1), target)
    best: IntArray = every[costs.argmin()]
    return best if costs.min() < _cost(_shares(counts, found), target) - 1e-9 else found
