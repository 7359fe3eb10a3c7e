"""Confidence intervals of metrics over speakers: how uncertain a figure is for speakers that were not recorded.

Whole speakers are drawn with replacement, never clips: clips of one speaker are correlated. The percentile bootstrap
is too narrow for few speakers, by the factor sqrt((n - 1) / n) and by a normal quantile in place of Student's (T. C.
Hesterberg, "What Teachers Should Know About the Bootstrap", The American Statistician 69(4), 2015). So the interval is
Student's t with n - 1 degrees of freedom times the bootstrap's standard error, widened by that factor, on the logit
scale, where shares near 0 and 1 are as uncertain on both sides.
"""

from __future__ import annotations

import functools
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
_NO_ERROR = 1e-9  # a standard error of zero, up to rounding

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
    rows = counts.sum(axis=(0, 3)).mean(axis=0)
    sizes = {name: float(rows.sum() if "." not in name else rows[int(name.rpartition(".")[2])]) for name in point}
    return {name: _interval(float(point[name]), sampled[name], units, sizes[name]) for name in point}


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


def _interval(point: float, sampled: Array, units: int, clips: float) -> Interval | None:
    """The interval of one figure. Half a clip keeps 0 and 1 finite on the logit scale."""
    known = sampled[np.isfinite(sampled)]
    if not np.isfinite(point) or len(known) < 2 or clips < 1:
        return None
    edge = 0.5 / (clips + 1)
    error = float(_logit(known, edge).std(ddof=1)) * np.sqrt(units / (units - 1))
    if error < _NO_ERROR:  # all speakers agree: only the half clip is uncertain
        error = 1 / np.sqrt(clips * edge * (1 - edge)) if point in (0.0, 1.0) else 0.0
    reach = _student_quantile((1 + LEVEL) / 2, units - 1) * error
    middle = float(_logit(np.array(point), edge))
    low, high = (1 / (1 + np.exp(-(middle + sign * reach))) for sign in (-1, 1))
    return min(float(low), point), max(float(high), point)


def _logit(values: Array, edge: float) -> Array:
    inside = np.clip(values, edge, 1 - edge)
    return cast(Array, np.log(inside / (1 - inside)))
