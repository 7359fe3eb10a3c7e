"""The recordings that the models of all folds are most wrong about and most sure of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from training.data.clips import ClipTable
from training.data.split.units import units_of
from training.data.waveforms.dataset import NO_LABEL
from training.metrics.calibration import fit_temperature
from training.metrics.predictions import FoldPredictions, PartPredictions, shares_of, truth_of
from training.metrics.surest_errors import surest_errors


def of_folds(
    table: ClipTable, predictions: Sequence[FoldPredictions], target: str, *, names: bool
) -> list[dict[str, Any]]:
    """The surest errors on test clips of all folds; probabilities are calibrated, and means over the seeds.

    Args:
        table: the dataset.
        predictions: of every fold and seed.
        target: name of the target.
        names: tell the names of the recordings too.
    """
    summed: dict[int, Any] = {}
    for each in predictions:
        found = each.test.probabilities(target, temperature_of(each.val, table, target))
        for clip, row in zip(each.test.clips.tolist(), found, strict=True):
            summed[clip] = summed.get(clip, 0.0) + row
    clips = np.array(sorted(summed), np.int64)
    probabilities = np.stack([summed[clip] for clip in clips.tolist()])
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    truth = truth_of(table, clips, target)
    known = truth != NO_LABEL
    return surest_errors(table, clips[known], truth[known], probabilities[known], table.labels(target), names=names)


def temperature_of(val: PartPredictions, table: ClipTable, target: str) -> float:
    """The temperature that is fitted on validation clips.

    Args:
        val: the answers to them.
        table: the dataset.
        target: name of the target.
    """
    labels = truth_of(table, val.clips, target)
    truth, at = val.labelled(target, labels)
    known = val.clips[labels != NO_LABEL]
    raters = shares_of(table, known, target)
    return fit_temperature(at, truth if raters is None else raters, units_of(table)[0][known])
