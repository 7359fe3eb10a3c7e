"""Confidence intervals of metrics over speakers: how uncertain a figure is for speakers that were not recorded.

Whole speakers are drawn with replacement, never clips: clips of one speaker are correlated. The percentile bootstrap
is too narrow for few speakers, by the factor sqrt((n - 1) / n) and by a normal quantile in place of Student's (T. C.
Hesterberg, "What Teachers Should Know About the Bootstrap", The American Statistician 69(4), 2015). So the interval is
Student's t with n - 1 degrees of freedom times the bootstrap's standard error, widened by that factor, on the logit
scale, where shares near 0 and 1 are as uncertain on both sides. It is never narrower than that of as many independent
clips, so that speakers who happen to agree do not make a figure certain.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import cast

import numpy as np
from scipy import stats

from training.metrics.classification import Array, figures

DRAWS = 2_000
LEVEL = 0.95
MIN_UNITS = 3
"""Smallest number of speakers that an interval is given for."""
_SEED = 0
_MAX_WEIGHTS = 20_000_000  # draws x speakers: 160 MB
_NORMAL = float(stats.norm.ppf((1 + LEVEL) / 2))

Interval = tuple[float, float]


@functools.lru_cache(maxsize=4)
def _weights(units: int) -> Array:
    """How often each speaker is drawn, (draws, units). The seed is fixed, so that a report is reproducible."""
    draws = int(np.clip(_MAX_WEIGHTS // units, 200, DRAWS))
    random = np.random.default_rng(_SEED)
    return random.multinomial(units, np.full(units, 1 / units), draws).astype(np.float64)


def intervals(counts: Array) -> dict[str, Interval | None]:
    """95 % intervals of the mean over the seeds of every figure.

    Args:
        counts: (units, seeds, classes, classes) confusion matrices of speakers.

    Returns:
        name -> (low, high), ``recall.<class index>`` and so on for those of a class; None below ``MIN_UNITS`` units.
    """
    point = _flat(figures(counts.sum(axis=0)))
    units = len(counts)
    if units < MIN_UNITS:
        return dict.fromkeys(point)
    weights = _weights(units)
    drawn = (weights @ counts.reshape(units, -1)).reshape(len(weights), *counts.shape[1:])
    sampled = _flat(figures(drawn))
    clips = _clips(counts.sum(axis=0).mean(axis=0))
    floors = {name: _error_of_clips(name, point, clips) for name in point}
    return {name: _interval(float(point[name]), sampled[name], units, clips[name], floors[name]) for name in point}


def difference(one: Array, two: Array) -> tuple[float, float, Interval | None]:
    """UAR of the second of two models on the same clips, how much the first has more, and the 95 % interval of that.

    Args:
        one: (units, seeds, classes, classes) confusion matrices of speakers by the first.
        two: by the second.

    Returns:
        Means over the seeds. The interval is Student's t times the bootstrap's standard error over speakers, each drawn
        for both models; None below ``MIN_UNITS`` units.
    """
    first, second = (float(figures(counts.sum(axis=0))["uar"].mean()) for counts in (one, two))
    units = len(one)
    if units < MIN_UNITS:
        return second, first - second, None
    weights = _weights(units)
    drawn = [(weights @ counts.reshape(units, -1)).reshape(len(weights), *counts.shape[1:]) for counts in (one, two)]
    gains = np.subtract(*(figures(each)["uar"].mean(axis=-1) for each in drawn))
    error = float(np.nanstd(gains, ddof=1)) * np.sqrt(units / (units - 1))
    reach = float(_student_quantile((1 + LEVEL) / 2, units - 1)) * error
    return second, first - second, (first - second - reach, first - second + reach)


def _clips(counts: Array) -> dict[str, float]:
    """How many clips each figure is a share of, by the confusion matrix (classes, classes)."""
    true, predicted = counts.sum(axis=1), counts.sum(axis=0)
    found = dict.fromkeys(("uar", "wa", "macro_f1"), float(counts.sum()))
    for name, sizes in (("recall", true), ("precision", predicted), ("f1", true)):
        found |= {f"{name}.{index}": float(size) for index, size in enumerate(sizes)}
    return found


def _error_of_clips(name: str, point: Mapping[str, Array], clips: Mapping[str, float]) -> float:
    """Standard error on the logit scale of a share of independent clips, or of a mean of shares.

    One clip more of each kind keeps it finite at 0 and 1, where the interval is then that of the rule of three.
    """
    prefix = {"uar": "recall.", "macro_f1": "f1."}.get(name)
    parts = [] if prefix is None else [each for each in point if each.startswith(prefix)]
    together = [(float(point[each]), clips[each]) for each in (name,) if clips[each] >= 1]
    known = [(float(point[each]), clips[each]) for each in parts if clips[each] >= 1]
    # Of a mean of shares the larger of two: where every class is at 1, that of its few clips is too small.
    return max((_share_error(np.array(each)) for each in (together, known) if each), default=0.0)


def _share_error(known: Array) -> float:
    """The error of the mean of (shares, 2) shares and what each is a share of."""
    shares, sizes = known.T
    near = (shares * sizes + 1) / (sizes + 2)
    error = np.sqrt((near * (1 - near) / sizes).sum()) / len(near)
    return float(error / (near.mean() * (1 - near.mean())))


def _flat(found: dict[str, Array]) -> dict[str, Array]:
    """Figures (..., seeds[, classes]) averaged over the seeds, those of a class by name."""
    flat: dict[str, Array] = {}
    for name, values in found.items():
        if name in ("recall", "precision", "f1"):
            flat |= {f"{name}.{index}": values[..., index].mean(axis=-1) for index in range(values.shape[-1])}
        else:
            flat[name] = values.mean(axis=-1)
    return flat


_student_quantile = functools.lru_cache(stats.t.ppf)  # called for every figure of every group


def _interval(point: float, sampled: Array, units: int, clips: float, floor: float) -> Interval | None:
    """The interval of one figure. Half a clip keeps 0 and 1 finite on the logit scale."""
    known = sampled[np.isfinite(sampled)]
    if not np.isfinite(point) or len(known) < 2 or clips < 1:
        return None
    edge = 0.5 / (clips + 1)
    error = float(_logit(known, edge).std(ddof=1)) * np.sqrt(units / (units - 1))
    reach = max(_student_quantile((1 + LEVEL) / 2, units - 1) * error, _NORMAL * floor)
    middle = float(_logit(np.array(point), edge))
    low, high = (1 / (1 + np.exp(-(middle + sign * reach))) for sign in (-1, 1))
    return min(float(low), point), max(float(high), point)


def _logit(values: Array, edge: float) -> Array:
    inside = np.clip(values, edge, 1 - edge)
    return cast(Array, np.log(inside / (1 - inside)))
