"""Clips against a reference: each statistic's distance, and how large it may be by chance."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from emotions.audio.windows import Float64Array, FloatArray, IntArray
from emotions.bundle.reference.observation import Observation
from emotions.bundle.reference.reference import Reference
from emotions.bundle.reference.significance import (
    distance_limit,
    drop_limit,
    mahalanobis,
    psi_limit,
    stability_index,
)

MIN_JUDGED = 50
"""Fewest clips that are compared."""
PSI, MAHALANOBIS, DROP = "psi", "mahalanobis", "drop"
_MISSING = -1
BinArray = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Finding:
    """One statistic of clips, compared with the reference.

    Attributes:
        statistic: its name, such as ``labels.emotion``, ``level``, ``embedding``, ``expected_accuracy.emotion``.
        measure: how it is compared: ``psi``, ``mahalanobis``, or ``drop`` of a mean.
        distance: how far it is from the reference.
        limit: how far it may be.
        clips: by how many clips it was measured.
    """

    statistic: str
    measure: str
    distance: float
    limit: float
    clips: int

    @property
    def ratio(self) -> float:
        """The distance to its limit: above 1 it is drift."""
        return max(0.0, self.distance) / self.limit

    @property
    def drifted(self) -> bool:
        """Whether the distance is beyond its limit."""
        return self.ratio > 1


@dataclass(frozen=True)
class Digest:
    """What is kept of clips: ``bins`` (clips, statistics), -1 where unknown; ``points`` (clips, axes), NaN likewise.

    The first columns of ``points`` are the confidences, then the coordinates in each space.
    """

    bins: BinArray
    points: FloatArray


class Comparison:
    """Compares clips with a reference.

    Args:
        reference: of a bundle.
        labels: of its targets, in output order.
    """

    def __init__(self, reference: Reference, labels: dict[str, list[str]]) -> None:
        self.reference = reference
        self._places = {target: {name: at for at, name in enumerate(names)} for target, names in labels.items()}
        self._edges = {name: found.edges for name, found in reference.histograms.items()}
        self._counts = [
            *(np.array(counts) for counts in reference.labels.values()),
            *(np.array(found.counts) for found in reference.histograms.values()),
        ]
        self._names = [*(f"labels.{target}" for target in reference.labels), *reference.histograms]
        self._spaces = {
            name: (np.array(space.mean), np.array(space.axes).T, np.array(space.variances))
            for name, space in reference.spaces.items()
        }

    @property
    def counts(self) -> dict[str, IntArray]:
        """The reference's counts of labels and bins, by statistic, in the order of a digest's ``bins``."""
        return dict(zip(self._names, self._counts, strict=True))

    @property
    def statistics(self) -> list[str]:
        """The names of all statistics."""
        return [*self._names, *(f"expected_accuracy.{target}" for target in self.reference.confidence), *self._spaces]

    @property
    def widths(self) -> tuple[int, int]:
        """Columns of the arrays of a ``Digest``."""
        axes = sum(len(variances) for _, _, variances in self._spaces.values())
        return len(self._names), len(self.reference.confidence) + axes

    def digest(self, clip: Observation) -> Digest:
        """What is kept of one clip."""
        figures, labels, confidence = clip.figures, clip.labels, clip.confidence
        bins = [self._places[target].get(labels.get(target, ""), _MISSING) for target in self.reference.labels]
        bins += [
            bisect_left(edges, figures[name]) if name in figures else _MISSING for name, edges in self._edges.items()
        ]
        points = [np.array([confidence.get(target, np.nan) for target in self.reference.confidence])]
        for name, (mean, axes, variances) in self._spaces.items():
            point = clip.point(name)
            known = point is not None and len(point) == len(mean)
            points.append((point - mean) @ axes if known else np.full(len(variances), np.nan))
        return Digest(np.array([bins], np.int16), np.concatenate(points)[None].astype(np.float32))

    def joined(self, clips: Sequence[Observation]) -> Digest:
        """What is kept of many clips."""
        found = [self.digest(clip) for clip in clips]
        wide, points = self.widths
        return Digest(
            np.concatenate([np.zeros((0, wide), np.int16), *(each.bins for each in found)]),
            np.concatenate([np.zeros((0, points), np.float32), *(each.points for each in found)]),
        )

    def findings(self, digest: Digest) -> list[Finding]:
        """Each statistic that is known of at least ``MIN_JUDGED`` clips."""
        accuracy = len(self.reference.confidence)
        found = [*self._shares(digest.bins), *self._falls(digest.points[:, :accuracy].astype(np.float64))]
        return [*found, *self._distances(digest.points[:, accuracy:].astype(np.float64))]

    def expected_accuracy(self, digest: Digest) -> dict[str, float]:
        """Mean confidence of each target: the share of its answers that is right, as far as it is calibrated."""
        return {
            target: float(np.mean(known))
            for target, column in zip(self.reference.confidence, digest.points.T, strict=False)
            if len(known := column[np.isfinite(column)].astype(np.float64))
        }

    def _shares(self, bins: BinArray) -> list[Finding]:
        found, clips, among = [], self.reference.clips, self.reference.comparisons
        for name, expected, column in zip(self._names, self._counts, bins.T, strict=True):
            known = column[column >= 0]
            if len(known) >= MIN_JUDGED:
                index = stability_index(expected, np.bincount(known, minlength=len(expected)))
                found.append(Finding(name, PSI, index, psi_limit(len(expected), clips, len(known), among), len(known)))
        return found

    def _falls(self, confidences: Float64Array) -> list[Finding]:
        found, clips, among = [], self.reference.clips, self.reference.comparisons
        for (target, expected), column in zip(self.reference.confidence.items(), confidences.T, strict=True):
            known = column[np.isfinite(column)]
            if len(known) >= MIN_JUDGED:
                spread = float(known.std(ddof=1))
                limit = drop_limit((expected.deviation, clips), (spread, len(known)), among)
                drop = expected.mean - float(known.mean())
                found.append(Finding(f"expected_accuracy.{target}", DROP, drop, limit, len(known)))
        return found

    def _distances(self, points: Float64Array) -> list[Finding]:
        found, at, among = list[Finding](), 0, self.reference.comparisons
        for name, (_, _, variances) in self._spaces.items():
            here = points[:, at : at + len(variances)]
            at += len(variances)
            known = here[np.isfinite(here).all(axis=1)]
            if len(known) >= MIN_JUDGED:
                distance = mahalanobis(known.mean(axis=0), variances)
                limit = distance_limit(len(variances), self.reference.clips, len(known), among)
                found.append(Finding(name, MAHALANOBIS, distance, limit, len(known)))
        return found
