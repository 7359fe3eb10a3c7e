"""Calibration of a trained model: the temperature that its validation clips ask for, and what it is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from emotions.audio.windows import FloatArray, IntArray
from training.data.dataset import NO_LABEL
from training.loop.score import ClipAnswers
from training.metrics.calibration import calibration_of, fit_temperature, risk_coverage, thinned
from training.metrics.predictions import PartAnswers


def calibrated(
    val: ClipAnswers, test: ClipAnswers | None, targets: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, Any]]:
    """Find each target's temperature on validation clips, and measure it on test clips where there are any.

    Returns:
        target -> ``temperature``, ``measured_on``, ECE and Brier score before and after, and the ``risk_coverage`` of
        the calibrated validation clips, which thresholds are chosen from. Targets without a labelled clip are left out.
    """
    found = {}
    for target in targets:
        truth, at = _known(val, target)
        if not len(truth):
            continue
        temperature = fit_temperature(at, truth)
        risks = thinned(risk_coverage(at(temperature), truth))
        part = "validation"
        if test is not None and len(_known(test, target)[0]):
            part, (truth, at) = "test", _known(test, target)
        worth = calibration_of(at(1.0), at(temperature), truth)
        found[target] = {"temperature": temperature, "measured_on": part, **worth, "risk_coverage": risks}
    return found


def _known(answers: ClipAnswers, target: str) -> tuple[IntArray, Any]:
    """Truth of the labelled clips, (clips,), and their probabilities by temperature."""
    known = answers.truth[target] != NO_LABEL
    part = PartAnswers(np.arange(len(answers.clips)), answers.windows, answers.logits)

    def at(temperature: float) -> FloatArray:
        chosen: FloatArray = part.probabilities(target, temperature)[known]
        return chosen

    return answers.truth[target][known], at
