"""Whether groups are recognised equally well: pass, fail, or cannot be told, by the UAR of each pair of groups.

A pair is compared over the classes that both have. It passes where two one-sided tests show that its gap is within
the limit (D. J. Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15, 1987), and fails where a test shows
that it is not; over all pairs each must pass (intersection-union, so no correction is needed), and one that fails is
enough (Bonferroni). The variance is that between speakers, as a bootstrap over them has it, by linearisation
(W. G. Cochran, Sampling Techniques, 1977, section 11.9), with the degrees of freedom of Welch and Satterthwaite, and at
least that of as many independent clips.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from training.metrics.classification import Array

LEVEL = 0.05
PASS, FAIL, UNCLEAR = "pass", "fail", "cannot be told"


@dataclass(frozen=True)
class Pair:
    """Two groups, by index.

    Attributes:
        gap: UAR of the first less that of the second, over the classes that both have.
        error: its standard error.
        freedom: degrees of freedom.
        clips: of the smaller group, in those classes.
    """

    first: int
    second: int
    gap: float
    error: float
    freedom: float
    clips: int

    def within(self, limit: float) -> bool:
        """Whether the gap is shown to be within the limit."""
        return abs(self.gap) + self._reach(LEVEL) <= limit

    def beyond(self, limit: float, pairs: int) -> bool:
        """Whether the gap is shown to be beyond the limit, as one of so many pairs."""
        return abs(self.gap) - self._reach(LEVEL / pairs) > limit

    def clips_to_tell(self, limit: float) -> int:
        """Clips of each group, with as many more speakers, whose interval would be half the limit to each side."""
        return math.ceil(self.clips * (self._reach(LEVEL) / (limit / 2)) ** 2)

    def _reach(self, level: float) -> float:
        return float(stats.t.ppf(1 - level, self.freedom)) * self.error


@dataclass(frozen=True)
class GroupGap:
    """The verdict over all pairs of groups.

    Attributes:
        verdict: ``pass``, ``fail`` or ``cannot be told``.
        pair: the one with the largest gap; None where no pair can be compared.
        clips_to_tell: clips of each group that would tell, where it cannot be told; None where that is not known.
    """

    verdict: str
    pair: Pair | None
    clips_to_tell: int | None


def group_gap(right: Array, clips: Array, limit: float) -> GroupGap:
    """Compare every pair of groups.

    Args:
        right: (groups, speakers, classes) clips that were recognised.
        clips: (groups, speakers, classes) clips.
        limit: largest gap of UAR that passes.
    """
    places = [*itertools.combinations(range(len(clips)), 2)]
    known = [_pair(right, clips, *place) for place in places]
    pairs = [pair for pair in known if pair is not None]
    largest = max(pairs, key=lambda pair: abs(pair.gap), default=None)
    if any(pair.beyond(limit, len(places)) for pair in pairs):
        return GroupGap(FAIL, largest, None)
    if places and len(pairs) == len(places) and all(pair.within(limit) for pair in pairs):
        return GroupGap(PASS, largest, None)
    open_ = [pair.clips_to_tell(limit) for pair in pairs if not pair.within(limit)]
    return GroupGap(UNCLEAR, largest, max(open_, default=None) if len(pairs) == len(places) else None)


def _pair(right: Array, clips: Array, first: int, second: int) -> Pair | None:
    """A pair; None where the groups share no class, or one has a single speaker."""
    shared = (clips[first].sum(axis=0) > 0) & (clips[second].sum(axis=0) > 0)
    some, hits = clips[[first, second]][:, :, shared], right[[first, second]][:, :, shared]
    speaking = some.sum(axis=2) > 0
    if not shared.any() or (speaking.sum(axis=1) < 2).any():
        return None
    recall = hits.sum(axis=1) / some.sum(axis=1)
    influence = ((hits - recall[:, None] * some) / some.sum(axis=1)[:, None]).mean(axis=2)
    both = int(speaking.any(axis=0).sum())
    speakers = speaking.sum(axis=1)
    of_groups = np.square(influence).sum(axis=1) * speakers / (speakers - 1)
    clustered = float(np.square(influence[0] - influence[1]).sum()) * both / (both - 1)
    nested = not (speaking[0] & speaking[1]).any()
    least = float(_of_clips(hits.sum(axis=1), some.sum(axis=1)).sum())
    return Pair(
        first,
        second,
        float(recall[0].mean() - recall[1].mean()),
        math.sqrt(max(float(of_groups.sum()) if nested else clustered, least)),
        _freedom(of_groups, speakers) if nested else both - 1,
        int(some.sum(axis=(1, 2)).min()),
    )


def _of_clips(hits: Array, clips: Array) -> Array:
    """Variance of each group's UAR if its clips were independent, (groups,); of all or none right, that of one more."""
    recall = (hits + 1) / (clips + 2)
    found: Array = (recall * (1 - recall) / clips).sum(axis=1) / clips.shape[1] ** 2
    return found


def _freedom(variances: Array, speakers: Any) -> float:
    """Degrees of freedom of the sum of two variances (B. L. Welch, Biometrika 34, 1947)."""
    if not variances.any():
        return float(speakers.min() - 1)
    return float(variances.sum() ** 2 / (variances**2 / (speakers - 1)).sum())
