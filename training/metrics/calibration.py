"""Calibration: a temperature that makes confidence the share of right answers, and a threshold for no answer.

After C. Guo, G. Pleiss, Y. Sun and K. Weinberger, "On Calibration of Modern Neural Networks", ICML 2017.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from emotions.audio.windows import FloatArray, IntArray

BINS = 15
_COLDEST, _HOTTEST = 0.1, 10.0
_PRIOR = 0.5
"""Deviation of the logarithm of a temperature that is expected beforehand: a few clips that are all right must not
make a model certain."""
_LEAST = 1e-12

Bins = list[dict[str, float]]


def fit_temperature(probabilities: Callable[[float], FloatArray], truth: IntArray) -> float:
    """The temperature with the least negative log-likelihood of the truth, and of itself: it is likely near 1.

    Args:
        probabilities: temperature -> (clips, classes) of clips that were not trained on.
        truth: (clips,) class indices.
    """

    def loss(log_temperature: float) -> float:
        chances = probabilities(float(np.exp(log_temperature)))[np.arange(len(truth)), truth]
        unlikely = float(-np.log(np.maximum(chances.astype(np.float64), _LEAST)).sum())
        return unlikely + (log_temperature / _PRIOR) ** 2 / 2

    bounds = (np.log(_COLDEST), np.log(_HOTTEST))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))


def reliability(probabilities: FloatArray, truth: IntArray, bins: int = BINS) -> Bins:
    """Clips by their confidence, in ``bins`` of equal width: ``clips``, ``confidence`` (mean), ``accuracy`` of each."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == truth
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    found = [np.flatnonzero(place == each) for each in range(bins)]
    return [
        {"clips": len(each), "confidence": float(confidence[each].mean()), "accuracy": float(right[each].mean())}
        for each in found
        if len(each)
    ]


def ece(probabilities: FloatArray, truth: IntArray, bins: int = BINS) -> float:
    """Expected calibration error: how far confidence lies from accuracy, over bins of equal width."""
    table = reliability(probabilities, truth, bins)
    return sum(row["clips"] * abs(row["accuracy"] - row["confidence"]) for row in table) / len(truth)


def brier(probabilities: FloatArray, truth: IntArray) -> float:
    """Brier score: mean over clips of the squared distance to the truth, 0 to 2."""
    wanted = np.eye(probabilities.shape[1])[truth]
    return float(np.square(probabilities - wanted).sum(axis=1).mean())


def risk_coverage(probabilities: FloatArray, truth: IntArray) -> list[dict[str, float]]:
    """Share of errors among the most confident clips, for each threshold of confidence that tells clips apart."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    order = np.argsort(-confidence, kind="stable")
    wrong = np.cumsum((probabilities.argmax(axis=1) != truth)[order])
    answered = np.arange(1, len(truth) + 1)
    ends = np.append(np.diff(confidence[order]) != 0, True)
    return [
        {
            "threshold": float(confidence[order][at]),
            "coverage": at_count / len(truth),
            "risk": float(wrong[at]) / at_count,
        }
        for at, at_count in zip(np.flatnonzero(ends).tolist(), answered[ends].tolist(), strict=True)
    ]


def thinned(rows: list[dict[str, float]], most: int = 200) -> list[dict[str, float]]:
    """At most so many rows of a curve, evenly spaced, its ends among them."""
    keep = np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(np.int64))
    return [rows[index] for index in keep]


def threshold_of(rows: Sequence[Mapping[str, float]], max_risk: float) -> float:
    """The lowest confidence that is an answer if at most ``max_risk`` of the answers may be wrong; 1 where none is.

    Args:
        rows: what ``risk_coverage`` gave.
        max_risk: share of errors.
    """
    return min((row["threshold"] for row in rows if row["risk"] <= max_risk), default=1.0)


def calibration_of(before: FloatArray, after: FloatArray, truth: IntArray) -> dict[str, Any]:
    """ECE and Brier score, (clips, classes) before and after, as JSON."""
    return {
        "ece_before": ece(before, truth),
        "ece_after": ece(after, truth),
        "brier_before": brier(before, truth),
        "brier_after": brier(after, truth),
        "lowered_ece": ece(after, truth) < ece(before, truth),
    }
