"""The parts of a Brier score: what is miscalibrated, what is told apart, and what no forecast could know."""

from __future__ import annotations

import numpy as np

from emotions.audio.windows import FloatArray, IntArray
from training.metrics.classification import Array

BINS = 10


def brier_parts(probabilities: FloatArray, truth: IntArray | FloatArray) -> dict[str, float]:
    """Reliability, resolution and uncertainty (Murphy, 1973), and the two parts that bins of some width add.

    After D. B. Stephenson, C. A. S. Coelho and I. T. Jolliffe, "Two Extra Components in the Brier Score Decomposition",
    Weather and Forecasting 23, 2008: the score is ``reliability - resolution + uncertainty + within_bin_variance -
    within_bin_covariance``, here summed over the classes, each with bins of its own probability.

    Args:
        probabilities: (clips, classes).
        truth: (clips,) class indices, or (clips, classes) shares of raters.
    """
    classes = probabilities.shape[1]
    said, is_so = probabilities.astype(np.float64), as_shares(truth, classes)
    every = [_of_class(said[:, index], is_so[:, index]) for index in range(classes)]
    return {name: sum(found[name] for found in every) for name in every[0]}


def as_shares(truth: IntArray | FloatArray, classes: int) -> Array:
    """The truth as (clips, classes) shares: 1 of its class, or what it says already.

    Args:
        truth: (clips,) class indices, or (clips, classes) shares.
        classes: how many there are.
    """
    return np.eye(classes)[truth] if truth.ndim == 1 else truth.astype(np.float64)


def _of_class(said: Array, is_so: Array) -> dict[str, float]:
    place = np.clip((said * BINS).astype(np.int64), 0, BINS - 1)
    sizes = np.bincount(place, minlength=BINS)
    known = np.maximum(sizes, 1)
    mean, frequency = (np.bincount(place, weights=each, minlength=BINS) / known for each in (said, is_so))
    off, found = said - mean[place], is_so - frequency[place]
    return {
        "reliability": float((sizes * (mean - frequency) ** 2).sum() / len(said)),
        "resolution": float((sizes * (frequency - is_so.mean()) ** 2).sum() / len(said)),
        "uncertainty": float(is_so.var()),
        "within_bin_variance": float((off**2).mean()),
        "within_bin_covariance": float(2 * (off * found).mean()),
    }
