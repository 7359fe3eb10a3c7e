"""Calibration of a trained model: a temperature from its validation clips, measured on its test clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.loop.score import ClipAnswers
from training.metrics.calibration import calibration_of, fit_temperature, risk_coverage, thinned


def calibrated(
    val: ClipAnswers, test: ClipAnswers | None, targets: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, Any]]:
    """Fit each target's temperature on validation clips, and measure it on test clips where there are any.

    Args:
        val: predictions for the validation part.
        test: predictions for the test part.
        targets: target -> labels in output order.

    Returns:
        target -> ``temperature``, ``measured_on``, ECE and Brier score before and after, and the ``risk_coverage`` of
        the calibrated validation clips, which thresholds are chosen from. Targets without a labelled clip are left out.
    """
    found = {}
    for target in targets:
        truth, at = val.labelled(target, val.truth[target])
        if not len(truth):
            continue
        temperature, part = fit_temperature(at, truth), "validation"
        risks = thinned(risk_coverage(at(temperature), truth))
        if test is not None and len(test.labelled(target, test.truth[target])[0]):
            part, (truth, at) = "test", test.labelled(target, test.truth[target])
        measured = calibration_of(at(1.0), at(temperature), truth)
        found[target] = {"temperature": temperature, "measured_on": part, **measured, "risk_coverage": risks}
    return found
