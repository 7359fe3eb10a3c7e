"""How far answers are from the distribution of the raters' labels, beside what is measured against one label.

Kullback-Leibler divergence of the answer from the raters, and Jensen-Shannon divergence (J. Lin, "Divergence measures
based on the Shannon entropy", IEEE Transactions on Information Theory 37(1), 1991), both in nats, means over clips.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from emotions.audio.windows import Float64Array, FloatArray, IntArray
from training.metrics.calibration import ece, nll

AnyFloats = npt.NDArray[np.floating[Any]]
_TINY = 1e-12


def divergence(raters: AnyFloats, answers: AnyFloats) -> Float64Array:
    """Kullback-Leibler divergence of each clip's answer from the raters, (clips,), in nats; 0 where they are alike.

    Args:
        raters: (clips, labels) shares.
        answers: (clips, labels) probabilities.
    """
    known, said = raters.astype(np.float64), np.maximum(answers.astype(np.float64), _TINY)
    found: Float64Array = (known * (np.log(np.maximum(known, _TINY)) - np.log(said))).sum(axis=1)
    return np.maximum(found, 0.0)


def jensen_shannon(raters: AnyFloats, answers: AnyFloats) -> Float64Array:
    """Jensen-Shannon divergence of each clip, (clips,), in nats, 0 to log 2. Args as ``divergence``."""
    middle = (raters.astype(np.float64) + answers.astype(np.float64)) / 2
    found: Float64Array = (divergence(raters, middle) + divergence(answers, middle)) / 2
    return found


def distance_from_raters(
    before: FloatArray, after: FloatArray, raters: FloatArray, majority: IntArray
) -> dict[str, Any]:
    """Distances of answers before and after calibration, and what they are against the majority's label, as JSON.

    Args:
        before: (clips, labels) probabilities.
        after: the same, calibrated.
        raters: (clips, labels) shares.
        majority: (clips,) indices of the labels that most raters gave.
    """
    found: dict[str, Any] = {"clips": len(raters)}
    for when, answers in (("before", before), ("after", after)):
        found |= {
            f"kl_{when}": float(divergence(raters, answers).mean()),
            f"js_{when}": float(jensen_shannon(raters, answers).mean()),
            f"ece_of_majority_{when}": ece(answers, majority),
            f"nll_of_majority_{when}": float(nll(answers, majority).mean()),
        }
    return found


def distance_line(found: dict[str, Any]) -> str:
    """The distances in a sentence, of what ``distance_from_raters`` gives."""
    return (
        f"distance from the raters: KL {found['kl_before']:.3f} to {found['kl_after']:.3f}, Jensen-Shannon "
        f"{found['js_before']:.3f} to {found['js_after']:.3f}; against the majority's label: ECE "
        f"{found['ece_of_majority_before']:.3f} to {found['ece_of_majority_after']:.3f}"
    )
