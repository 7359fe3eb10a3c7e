"""Values of clips from the outputs of a model, their scores, and their linear calibration on validation speakers."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from emotions.audio.windows import FloatArray, IntArray, pool
from training.loop.score import ClipPredictions
from training.metrics.dimensions import UNCHANGED, Linear, linear_calibration, score_values
from training.metrics.predictions import PartPredictions
from training.metrics.value_plots import Spec

Calibrations = Mapping[str, Mapping[str, Any]]
NOT_CALIBRATED: Calibrations = MappingProxyType({})


def linear_of(calibration: Calibrations, target: str, spec: Spec) -> list[Linear]:
    """Scale and bias of each of a target's dimensions, of what ``calibrated_values`` gave."""
    known = calibration.get(target, {}).get("dimensions", {})
    return [
        (float(known[name]["scale"]), float(known[name]["bias"])) if name in known else UNCHANGED
        for name in spec.targets[target]
    ]


def values_of(
    predictions: PartPredictions, target: str, spec: Spec, calibration: Calibrations = NOT_CALIBRATED
) -> FloatArray:
    """The values of clips as a bundle answers them: calibrated, kept in the range, pooled; (clips, dimensions).

    Args:
        predictions: outputs of the model, where the range is -1 to 1.
        target: which target.
        spec: names and ranges of the targets.
        calibration: of ``calibrated_values``.
    """
    linear = np.array(linear_of(calibration, target, spec), np.float64)
    low, high = spec.ranges[target]
    outputs = np.clip(predictions.logits[target] * linear[:, 0] + linear[:, 1], -1, 1)
    return ((low + high) / 2 + (high - low) / 2 * _pooled(predictions, outputs)).astype(np.float32)


def truth_of(predictions: ClipPredictions, target: str, spec: Spec) -> FloatArray:
    """The true values, (clips, dimensions), NaN where one is not known. Args as ``values_of``."""
    low, high = spec.ranges[target]
    truth: FloatArray = predictions.truth[target]
    return ((low + high) / 2 + (high - low) / 2 * truth).astype(np.float32)


def _pooled(predictions: PartPredictions, outputs: Any) -> FloatArray:
    weights = np.ones(len(predictions.windows)) if predictions.weights is None else predictions.weights
    rows = [predictions.windows == clip for clip in range(len(predictions.clips))]
    return np.stack([pool(outputs[each], weights[each]) for each in rows])


def score_dimensions(
    predictions: ClipPredictions,
    spec: Spec,
    units: IntArray | None = None,
    calibration: Calibrations = NOT_CALIBRATED,
) -> dict[str, dict[str, Any]]:
    """Target -> what ``score_values`` gives, of the targets of dimensions with a known value.

    Args:
        predictions: outputs of the model for clips.
        spec: the model.
        units: (clips of the part,) index of each clip's speaker, for intervals.
        calibration: of ``calibrated_values``; none measures the outputs as they are.
    """
    found = {}
    for target in spec.ranges:
        truth = truth_of(predictions, target, spec)
        if not np.isnan(truth).all():
            spoken = None if units is None else units[predictions.clips]
            answers = values_of(predictions, target, spec, calibration)
            found[target] = score_values(truth, answers, spec.targets[target], spoken)
    return found


def calibrated_values(val: ClipPredictions, spec: Spec, units: IntArray) -> dict[str, dict[str, Any]]:
    """Target -> ``dimensions``, what ``linear_calibration`` fits on validation clips, where the range is -1 to 1.

    Args:
        val: outputs for the validation part.
        spec: the model.
        units: (clips of the part,) index of each clip's speaker.
    """
    found: dict[str, dict[str, Any]] = {}
    for target in spec.ranges:
        truth = np.asarray(val.truth[target], np.float32)
        if not np.isnan(truth).all():
            answers, names = _pooled(val, val.logits[target]), spec.targets[target]
            fitted = linear_calibration(truth, answers, names, units[val.clips])
            found[target] = {"dimensions": fitted, "measured_on": "validation"}
    return found


def outputs_of(
    predictions: ClipPredictions, spec: Spec, device: torch.device
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Outputs and truth of the targets of dimensions, (clips, dimensions) each, where the range is -1 to 1."""
    pooled = {target: _pooled(predictions, predictions.logits[target]) for target in spec.ranges}
    outputs = {target: torch.from_numpy(values).to(device) for target, values in pooled.items()}
    return outputs, {target: torch.as_tensor(predictions.truth[target], device=device) for target in spec.ranges}
