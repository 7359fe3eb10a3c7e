"""Calibration: temperature scaling, calibration errors, and the risk at each confidence.

After C. Guo, G. Pleiss, Y. Sun and K. Weinberger, "On Calibration of Modern Neural Networks", ICML 2017.
``probabilities`` are (clips, classes), and ``truth`` is (clips,) class indices; or (clips, classes) shares of raters,
by which they are then measured: an answer is right for the share of the raters who gave it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats
from scipy.optimize import minimize_scalar

from emotions.audio.windows import Float64Array, FloatArray, IntArray
from training.metrics.brier_parts import as_shares, brier_parts

BINS = 15
HELPED, DID_NOT_HELP, UNCLEAR = "helped", "did not help", "cannot be told"
_BOUNDS = (np.log(0.1), np.log(10.0))
_PRIOR = 0.5
"""Standard deviation of the normal prior on log T: a few clips that are all right must not make a model certain."""
_RELUCTANCE = 0.5
"""Weight of |log T|, by which T stays at 1 where one speaker hardly tells on which side of it others are."""
_INDEPENDENT_CLIPS = 6
"""Clips of a speaker that count as much as if they were of others; more of them tell of this speaker alone."""
_DRAWS = 100
_FOLDS = 5
_MIN_SPEAKERS = 3
_SEED = 0
_MIN_PROBABILITY = 1e-12  # its logarithm must stay finite
Truth = IntArray | FloatArray
"""(clips,) class indices, or (clips, classes) shares."""


def fit_temperature(probabilities: Callable[[float], FloatArray], truth: Truth, speakers: IntArray) -> float:
    """Minimise the negative log-likelihood with a normal prior on log T, which counts the more the fewer speakers are.

    Speakers differ in their temperature: many clips of one determine its own, which may be worse than 1 for others. So
    |log T| is penalised, too, as in the lasso (Tibshirani, 1996): where little is known it is 0, and no answer changes.

    Args:
        probabilities: temperature -> (clips, classes), of clips that were not trained on.
        truth: (clips,) class indices, or (clips, classes) shares.
        speakers: (clips,) index of each clip's speaker.
    """
    count = max(len(np.unique(speakers)), 1)
    alike = max(1.0, len(truth) / count / _INDEPENDENT_CLIPS)
    precision, reluctance = alike * (1 + 2 / count) / _PRIOR**2, alike * _RELUCTANCE / count

    def loss(log_temperature: float) -> float:
        cost = float(nll(probabilities(float(np.exp(log_temperature))), truth).sum())
        return float(cost + precision * log_temperature**2 / 2 + reluctance * abs(log_temperature))

    found = minimize_scalar(loss, bounds=_BOUNDS, method="bounded")
    return float(np.exp(found.x)) if found.fun < loss(0.0) else 1.0


def cross_fitted(probabilities: Callable[[float], FloatArray], truth: Truth, speakers: IntArray) -> FloatArray:
    """Probabilities of clips with temperatures that were fitted on other speakers, (clips, classes).

    Args:
        probabilities: as ``fit_temperature`` takes them.
        truth: (clips,) class indices, or (clips, classes) shares.
        speakers: (clips,) index of each clip's speaker; of a single one the temperature is 1.
    """
    found = probabilities(1.0).copy()
    groups = np.unique(speakers, return_inverse=True)[1].reshape(-1) % _FOLDS
    if groups.max() == 0:
        return found
    for group in np.unique(groups):
        others = groups != group
        temperature = fit_temperature(functools.partial(_some, probabilities, others), truth[others], speakers[others])
        found[~others] = probabilities(temperature)[~others]
    return found


def _some(probabilities: Callable[[float], FloatArray], clips: Any, temperature: float) -> FloatArray:
    found: FloatArray = probabilities(temperature)[clips]
    return found


def reliability(probabilities: FloatArray, truth: Truth) -> list[dict[str, float]]:
    """Reliability diagram: ``clips``, mean ``confidence`` and ``accuracy`` of each bin of confidence that has clips."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = _right(probabilities, truth)
    place = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    found = [np.flatnonzero(place == each) for each in range(BINS)]
    return [
        {"clips": len(each), "confidence": float(confidence[each].mean()), "accuracy": float(right[each].mean())}
        for each in found
        if len(each)
    ]


def _right(probabilities: FloatArray, truth: Truth) -> Float64Array:
    """Whether each answer is right, (clips,): 1 or 0, or the share of the raters who gave it."""
    answers = probabilities.argmax(axis=1)
    right = np.zeros(len(answers))
    right[:] = answers == truth if truth.ndim == 1 else truth[np.arange(len(answers)), answers]
    return right


def ece(probabilities: FloatArray, truth: Truth) -> float:
    """Expected calibration error over ``BINS`` bins of equal width."""
    table = reliability(probabilities, truth)
    return sum(row["clips"] * abs(row["accuracy"] - row["confidence"]) for row in table) / len(truth)


def brier(probabilities: FloatArray, truth: Truth) -> float:
    """Brier score: mean squared distance between probabilities and the truth, one-hot or shares, 0 to 2."""
    return float(np.square(probabilities - as_shares(truth, probabilities.shape[1])).sum(axis=1).mean())


def risk_coverage(probabilities: FloatArray, truth: Truth) -> list[dict[str, float]]:
    """Risk-coverage curve: ``threshold``, ``coverage`` and ``risk`` (share of errors) at each distinct confidence."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    order = np.argsort(-confidence, kind="stable")
    thresholds = confidence[order]
    risks = np.cumsum((1 - _right(probabilities, truth))[order]) / np.arange(1, len(truth) + 1)
    last_of_equals = np.flatnonzero(np.append(np.diff(thresholds) != 0, True)).tolist()
    return [
        {"threshold": float(thresholds[row]), "coverage": (row + 1) / len(truth), "risk": float(risks[row])}
        for row in last_of_equals
    ]


def thinned(rows: list[dict[str, float]], most: int = 200) -> list[dict[str, float]]:
    """Thin the points of a curve out evenly, to at most ``most``, keeping its ends."""
    keep = np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(np.int64))
    return [rows[index] for index in keep]


def ece_noise(probabilities: FloatArray) -> float:
    """The mean ECE over labels that are drawn from the probabilities: a perfect model's, on as many clips."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    place = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    random, found = np.random.default_rng(_SEED), []
    for _ in range(_DRAWS):
        off = (random.random(len(confidence)) < confidence) - confidence
        found.append(np.abs(np.bincount(place, weights=off)).sum() / len(confidence))
    return float(np.mean(found))


def nll(probabilities: FloatArray, truth: Truth) -> Float64Array:
    """Negative log-likelihood of each clip, (clips,), in nats; of shares their cross-entropy."""
    said = np.log(np.maximum(probabilities.astype(np.float64), _MIN_PROBABILITY))
    cost: Float64Array = -(truth * said).sum(axis=1) if truth.ndim == 2 else -said[np.arange(len(truth)), truth]
    return cost


def verdict_of(before: FloatArray, after: FloatArray, truth: Truth, speakers: IntArray) -> str:
    """Whether calibration helped: ``helped``, ``did not help``, or ``cannot be told``.

    By the 95 % interval over speakers (Student's t) of the mean difference of the negative log-likelihood; the standard
    error is at least that of as many independent clips.
    """
    gain = nll(before, truth) - nll(after, truth)
    by_speaker = np.bincount(speakers, weights=gain - gain.mean())
    count = len(np.unique(speakers))
    if count < _MIN_SPEAKERS:
        return UNCLEAR
    variance = max(np.square(by_speaker).sum() * count / (count - 1), np.square(gain - gain.mean()).sum())
    reach = float(stats.t.ppf(0.975, count - 1)) * float(np.sqrt(variance)) / len(gain)
    return HELPED if gain.mean() > reach else DID_NOT_HELP if gain.mean() < -reach else UNCLEAR


def calibration_of(before: FloatArray, after: FloatArray, truth: Truth, speakers: IntArray) -> dict[str, Any]:
    """Scores of the probabilities before and after calibration, and whether it helped, as JSON."""
    found: dict[str, Any] = {}
    for when, probabilities in (("before", before), ("after", after)):
        found |= {
            f"ece_{when}": ece(probabilities, truth),
            f"ece_noise_{when}": ece_noise(probabilities),
            f"nll_{when}": float(nll(probabilities, truth).mean()),
            f"brier_{when}": brier(probabilities, truth),
            f"brier_parts_{when}": brier_parts(probabilities, truth),
        }
    lowered = bool(found["ece_after"] < found["ece_before"])
    return {**found, "lowered_ece": lowered, "verdict": verdict_of(before, after, truth, speakers)}
