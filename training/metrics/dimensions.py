"""Metrics of values: the concordance correlation coefficient and others of each dimension, and linear calibration.

L. I-K. Lin, "A concordance correlation coefficient to evaluate reproducibility", Biometrics 45, 1989. Truth and answers
are (clips, dimensions), the truth NaN where it is not known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from emotions.audio.windows import Float64Array, FloatArray, IntArray

METRICS = ("ccc", "pearson", "rmse", "mae")
HELPED, LEFT = "helped", "left out: it was not seen to help on other speakers"
_DRAWS, _SEED, _MIN_UNITS = 1_000, 0, 3
_MIN_CLIPS = 10
_SCALES = (0.25, 4.0)
"""Least and most that answers are stretched by."""
Linear = tuple[float, float]
"""Scale and bias of a dimension: what an answer is multiplied by, and what is then added."""
UNCHANGED: Linear = (1.0, 0.0)


def moments(truth: Any, predicted: Any, units: IntArray, count: int) -> Float64Array:
    """Sums of each unit that CCC and the like are made of: (units, 7).

    Args:
        truth: (clips,), all of them known.
        predicted: (clips,).
        units: (clips,) index of the unit, such as the speaker.
        count: how many units there are.
    """
    x, y = np.asarray(truth, np.float64), np.asarray(predicted, np.float64)
    columns = (np.ones(len(x)), x, y, x * x, y * y, x * y, np.abs(x - y))
    return np.stack([np.bincount(units, weights=column, minlength=count) for column in columns], axis=1)


def figures(sums: Float64Array) -> dict[str, Float64Array]:
    """CCC, Pearson's r, RMSE and MAE of sums (..., 7); where nothing varies the first two are 0."""
    n, x, y, xx, yy, xy, off = np.moveaxis(np.asarray(sums, np.float64), -1, 0)
    n = np.maximum(n, 1)
    mean_x, mean_y = x / n, y / n
    var_x, var_y = np.maximum(xx / n - mean_x**2, 0), np.maximum(yy / n - mean_y**2, 0)
    covariance = xy / n - mean_x * mean_y
    apart = var_x + var_y + (mean_x - mean_y) ** 2
    tiny = 1e-12
    return {
        "ccc": np.where(apart > tiny, 2 * covariance / np.maximum(apart, tiny), 0.0),
        "pearson": np.where(var_x * var_y > tiny**2, covariance / np.sqrt(np.maximum(var_x * var_y, tiny**2)), 0.0),
        "rmse": np.sqrt(np.maximum(xx - 2 * xy + yy, 0) / n),
        "mae": off / n,
    }


def score_values(
    truth: FloatArray, predicted: FloatArray, names: Sequence[str], units: IntArray | None = None
) -> dict[str, Any]:
    """Compare answers with the truth, each dimension over the clips where it is known.

    Args:
        truth: (clips, dimensions), NaN where it is not known.
        predicted: (clips, dimensions), or (seeds, clips, dimensions); figures are means over the seeds.
        names: of the dimensions.
        units: (clips,) index of each clip's speaker; where it is given there are intervals of 95 %, by drawing
            speakers with replacement (three at least).

    Returns:
        ``ccc``: the mean over the dimensions; ``clips``: those with any value; ``dimensions`` {name: ``METRICS``,
        ``clips``, and where there are intervals ``<metric>_ci``}.
    """
    rows: dict[str, Any] = {}
    for column, name in enumerate(names):
        known = ~np.isnan(truth[:, column])
        if known.any():
            of = np.zeros(int(known.sum()), np.int64) if units is None else units[known]
            rows[name] = _row(truth[known, column], np.atleast_3d(predicted.T).T[:, known, column], of)
    mean = float(np.mean([row["ccc"] for row in rows.values()])) if rows else 0.0
    return {"ccc": mean, "clips": int((~np.isnan(truth)).any(axis=1).sum()), "dimensions": rows}


def _row(truth: Any, predicted: Any, units: IntArray) -> dict[str, Any]:
    count, place = len(np.unique(units)), np.unique(units, return_inverse=True)[1].reshape(-1)
    sums = np.stack([moments(truth, each, place, count) for each in predicted], axis=1)
    found: dict[str, Any] = {name: float(value.mean()) for name, value in figures(sums.sum(axis=0)).items()}
    found["clips"] = len(truth)
    if count >= _MIN_UNITS:
        drawn = np.random.default_rng(_SEED).integers(0, count, (_DRAWS, count))
        spread = figures(sums[drawn].sum(axis=1))
        found |= {f"{name}_ci": np.percentile(each.mean(axis=1), (2.5, 97.5)).tolist() for name, each in spread.items()}
    return found


def ccc_difference(truth: FloatArray, one: FloatArray, two: FloatArray, units: IntArray) -> dict[str, Any]:
    """CCC of the second of two models on the same clips, and how much the first has more, means over the dimensions.

    Args:
        truth: (clips, dimensions), NaN where it is not known.
        one: (seeds, clips, dimensions) answers of the first.
        two: those of the second.
        units: (clips,) index of each clip's speaker; of three and more there is an interval of 95 %, by drawing
            speakers with replacement, each for both models.
    """
    count = len(np.unique(units))
    drawn = np.random.default_rng(_SEED).integers(0, count, (_DRAWS, count))
    points, spreads = [], []
    for column in range(truth.shape[1]):
        known = np.flatnonzero(~np.isnan(truth[:, column]))
        place = np.unique(units, return_inverse=True)[1].reshape(-1)[known]
        both = [
            np.stack([moments(truth[known, column], each[known, column], place, count) for each in answers], axis=1)
            for answers in (one, two)
        ]
        points.append([float(figures(sums.sum(axis=0))["ccc"].mean()) for sums in both])
        spreads.append(np.subtract(*(figures(sums[drawn].sum(axis=1))["ccc"].mean(axis=1) for sums in both)))
    first, second = np.mean(points, axis=0).tolist()
    bounds = np.percentile(np.mean(spreads, axis=0), (2.5, 97.5)).tolist() if count >= _MIN_UNITS else None
    return {"ccc": second, "ccc_difference": first - second, "ccc_difference_ci": bounds}


def fit_linear(truth: Any, predicted: Any) -> Linear:
    """Scale and bias by which answers have the mean and deviation of the truth: of all that, the highest CCC.

    Args:
        truth: (clips,), all of them known.
        predicted: (clips,).
    """
    if len(truth) < _MIN_CLIPS or np.std(predicted) < 1e-6 or np.std(truth) < 1e-6:
        return UNCHANGED
    scale = float(np.clip(np.std(truth) / np.std(predicted), *_SCALES))
    return scale, float(np.mean(truth) - scale * np.mean(predicted))


def linear_calibration(truth: FloatArray, predicted: FloatArray, names: Sequence[str], units: IntArray) -> Any:
    """Fit each dimension's scale and bias on validation clips, and measure it on speakers that it was not fitted on.

    Args:
        truth: (clips, dimensions), NaN where it is not known.
        predicted: (clips, dimensions).
        names: of the dimensions.
        units: (clips,) index of each clip's speaker.

    Returns:
        name -> ``scale``, ``bias``, ``verdict``, and CCC and RMSE before and after, with each speaker's clips answered
        by what others' give. Where CCC is not higher so, or there is one speaker, scale and bias are 1 and 0.
    """
    found = {}
    for column, name in enumerate(names):
        known = ~np.isnan(truth[:, column])
        x, y, of = truth[known, column].astype(np.float64), predicted[known, column].astype(np.float64), units[known]
        crossed = _crossed(x, y, of)
        before, after = (_whole(x, answers) for answers in (y, crossed))
        helps = bool(after["ccc"] > before["ccc"])
        scale, bias = fit_linear(x, y) if helps else UNCHANGED
        measured = {
            f"{key}_{when}": row[key] for when, row in (("before", before), ("after", after)) for key in ("ccc", "rmse")
        }
        found[name] = {"scale": scale, "bias": bias, "verdict": HELPED if helps else LEFT, "clips": len(x), **measured}
    return found


def _crossed(truth: Float64Array, predicted: Float64Array, units: IntArray) -> Float64Array:
    """Answers of each speaker's clips by the scale and bias that the other speakers' give."""
    answers = predicted.copy()
    for unit in np.unique(units):
        mine = units == unit
        if not mine.all():
            scale, bias = fit_linear(truth[~mine], predicted[~mine])
            answers[mine] = scale * predicted[mine] + bias
    return answers


def _whole(truth: Float64Array, predicted: Float64Array) -> Mapping[str, float]:
    sums = moments(truth, predicted, np.zeros(len(truth), np.int64), 1)[0]
    return {name: float(value) for name, value in figures(sums).items()}
