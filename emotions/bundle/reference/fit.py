"""Clips to a reference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from emotions.audio.windows import Float64Array
from emotions.bundle.reference.observation import SPACES, Observation
from emotions.bundle.reference.reference import MAX_DIMS, Confidence, Histogram, Reference, Space
from emotions.errors import DataError

MIN_CLIPS = 20
"""Fewest clips of a reference: of fewer, nearly nothing would be drift, and edges of bins would be their figures."""
_CLIPS_IN_BIN, _MAX_BINS = 10, 10
_CLIPS_PER_AXIS, _MAX_AXES = 10, 8
_LEAST_SHARE = 1e-6  # variance along an axis, to that along the first: below, it is rounding
_DIGITS = 6


def reference_of(clips: Sequence[Observation], labels: Mapping[str, Sequence[str]], what: str) -> Reference:
    """The reference statistics of clips.

    Args:
        clips: at least ``MIN_CLIPS``; DataError where they are fewer.
        labels: of each target that has labels, in output order.
        what: the clips in words.
    """
    if len(clips) < MIN_CLIPS:
        raise DataError(f"{what}: {len(clips)} clips are too few for reference statistics; at least {MIN_CLIPS}")
    counts = {target: Counter(clip.labels[target] for clip in clips) for target in labels}
    figures = [clip.figures for clip in clips]
    names = [name for name in figures[0] if all(name in each for each in figures)]
    return Reference(
        clips=len(clips),
        what=what,
        labels={target: [counts[target][label] for label in names_of] for target, names_of in labels.items()},
        confidence={target: _confidence([clip.confidence[target] for clip in clips]) for target in labels},
        histograms={name: _histogram(np.array([each[name] for each in figures])) for name in names},
        spaces=_spaces(clips),
    )


def _confidence(found: Sequence[float]) -> Confidence:
    return Confidence(mean=_rounded(np.mean(found)), deviation=_rounded(np.std(found, ddof=1)))


def _histogram(figures: Float64Array) -> Histogram:
    """Bins of about as many clips each, as many as have ten; a figure that never varies has a bin of its own."""
    bins = min(_MAX_BINS, max(2, len(figures) // _CLIPS_IN_BIN))
    inner = np.quantile(figures, np.arange(1, bins) / bins, method="inverted_cdf")
    edges = sorted({_rounded(edge) for edge in inner})
    if figures.min() == figures.max():
        least = 1e-4 * max(1.0, abs(edges[0]))
        edges = [_rounded(edges[0] - least), _rounded(edges[0] + least)]
    counts = np.bincount(np.searchsorted(edges, figures), minlength=len(edges) + 1)
    return Histogram(edges=edges, counts=counts.tolist())


def _spaces(clips: Sequence[Observation]) -> Any:
    """Each space in which all clips have a point and differ."""
    found = dict[str, Space]()
    for name in SPACES:
        points = [point for clip in clips if (point := clip.point(name)) is not None]
        if len(points) == len(clips) and len(points[0]) <= MAX_DIMS:
            space = _space(np.stack(points))
            found |= {} if space is None else {name: space}
    return found


def _space(points: Float64Array) -> Space | None:
    """Principal axes of points (clips, dims); None where they are all the same."""
    mean = points.mean(axis=0)
    _, singular, axes = np.linalg.svd(points - mean, full_matrices=False)
    variances = np.square(singular) / (len(points) - 1)
    kept = int((variances > max(_LEAST_SHARE * variances[0], 1e-12)).sum())
    kept = min(kept, _MAX_AXES, max(1, len(points) // _CLIPS_PER_AXIS))
    if not kept:
        return None
    return Space(
        mean=[*map(_rounded, mean)],
        axes=[[*map(_rounded, axis)] for axis in axes[:kept]],
        variances=[*map(_rounded, variances[:kept])],
    )


def _rounded(value: Any) -> float:
    return float(f"{float(value):.{_DIGITS}g}")
