"""Values of a fold's clips for a target of dimensions: the truth, and the answers before and after calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from emotions.audio.windows import FloatArray, IntArray
from training.data.clips import ClipTable
from training.data.split.units import units_of
from training.loop.score import ClipPredictions
from training.loop.value_scores import Calibrations, calibrated_values, values_of
from training.metrics.dimensions import score_values
from training.metrics.predictions import FoldPredictions, PartPredictions


@dataclass(frozen=True)
class Dimensions:
    """Names and ranges of a dataset's targets of dimensions."""

    targets: Mapping[str, Sequence[str]]
    ranges: Mapping[str, tuple[float, float]]

    @classmethod
    def of(cls, table: ClipTable) -> Dimensions:
        """Those of a dataset."""
        every = table.dimensions.items()
        return cls({name: about.dimensions for name, about in every}, {name: about.range for name, about in every})


def true_values(table: ClipTable, clips: IntArray, target: str) -> FloatArray:
    """The true values of some clips on the target's range, (clips, dimensions) float32, NaN where one is missing.

    Args:
        table: the dataset.
        clips: (clips,) indices into the dataset's clips.
        target: name of the target.
    """
    missing = (float("nan"),) * len(table.dimensions[target].dimensions)
    return np.array([table.clips[clip].values.get(target, missing) for clip in clips], np.float32).reshape(
        -1, len(missing)
    )


def answers(table: ClipTable, fold: FoldPredictions, target: str) -> tuple[FloatArray, FloatArray, Calibrations]:
    """A fold's values for its test clips before and after the calibration on its validation clips, and that.

    Args:
        table: the dataset.
        fold: its predictions.
        target: name of the target.
    """
    about, calibration = Dimensions.of(table), dict[str, dict[str, object]]()
    if len(fold.val.clips):
        low, high = about.ranges[target]
        truth = (2 * true_values(table, fold.val.clips, target) - low - high) / (high - low)
        known = ClipPredictions(
            fold.val.clips, fold.val.windows, fold.val.logits, {target: truth}, weights=fold.val.weights
        )
        alone = Dimensions({target: about.targets[target]}, {target: about.ranges[target]})
        calibration = calibrated_values(known, alone, units_of(table)[0])
    before = values_of(fold.test, target, about)
    return before, values_of(fold.test, target, about, calibration), calibration


def ccc_of(table: ClipTable, predictions: PartPredictions, target: str) -> float:
    """Mean CCC over the dimensions of a target, of answers as they are; NaN where no value is known.

    Args:
        table: the dataset.
        predictions: of some of its clips.
        target: name of the target.
    """
    truth, about = true_values(table, predictions.clips, target), Dimensions.of(table)
    if np.isnan(truth).all():
        return float("nan")
    return float(score_values(truth, values_of(predictions, target, about), about.targets[target])["ccc"])
