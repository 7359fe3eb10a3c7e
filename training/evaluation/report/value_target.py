"""The metrics of a target of dimensions over the test clips of all folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from emotions.audio.windows import FloatArray, IntArray
from training.data.clips import ClipTable
from training.data.split.units import units_of
from training.evaluation.perturbations import Corruption, judged_values
from training.evaluation.protocols.values import Dimensions, answers, true_values
from training.evaluation.report.beside import altered
from training.metrics.dimensions import ccc_difference, score_values
from training.metrics.predictions import FoldPredictions, PartPredictions

_OF_A_GROUP = ("ccc", "mae", "clips")


def value_target(
    table: ClipTable, predictions: Sequence[FoldPredictions], target: str, columns: Mapping[str, Sequence[str | None]]
) -> dict[str, Any] | None:
    """All metrics as JSON, means over the seeds; None where no test clip has a value.

    Args:
        table: the dataset.
        predictions: of every fold and seed.
        target: name of the target.
        columns: name -> value of each clip, or None where it has none.
    """
    clips, before, after = _pooled(table, predictions, target)
    truth, names = true_values(table, clips, target), table.dimensions[target].dimensions
    if np.isnan(truth).all():
        return None
    units, unit = units_of(table)
    spoken = np.unique(units[clips], return_inverse=True)[1].reshape(-1)
    found = score_values(truth, after, names, spoken)
    speakers = [f"{unit} {number + 1}" for number in spoken.tolist()]
    groups = {name: [values[clip] for clip in clips] for name, values in columns.items()}
    return {
        **found,
        "range": [*table.dimensions[target].range],
        "speakers": len(np.unique(spoken)),
        "interval_over": unit,
        "before_calibration": score_values(truth, before, names)["dimensions"],
        "per_speaker": _rows(truth, after, names, speakers),
        "per_group": {name: _rows(truth, after, names, values) for name, values in groups.items()},
    }


def _pooled(
    table: ClipTable, predictions: Sequence[FoldPredictions], target: str
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Test clips of all folds, and (seeds, clips, dimensions) values before and after each fold's calibration."""
    clips, rows = np.zeros(0, np.int64), list[tuple[FloatArray, FloatArray]]()
    for seed in sorted({each.seed for each in predictions}):
        found = [each for each in predictions if each.seed == seed]
        clips = np.concatenate([each.test.clips for each in found])  # the same for every seed
        both = [answers(table, each, target)[:2] for each in found]
        rows.append((np.concatenate([one for one, _ in both]), np.concatenate([two for _, two in both])))
    return clips, np.stack([before for before, _ in rows]), np.stack([after for _, after in rows])


def _rows(
    truth: FloatArray, values: FloatArray, names: Sequence[str], groups: Sequence[str | None]
) -> list[dict[str, Any]]:
    """CCC and MAE of each dimension in each group."""
    column, rows = np.array([group or "" for group in groups]), []
    for name in sorted({*column.tolist()} - {""}, key=lambda group: (len(group), group)):
        chosen = np.flatnonzero(column == name)
        every = score_values(truth[chosen], values[:, chosen], names)["dimensions"]
        told = {dimension: {key: row[key] for key in _OF_A_GROUP} for dimension, row in every.items()}
        rows.append({"name": name, "clips": len(chosen), "dimensions": told})
    return rows


def compared_values(
    table: ClipTable, target: str, own: Sequence[FoldPredictions], other: Sequence[FoldPredictions]
) -> dict[str, Any]:
    """CCC of another model on the same folds with the same seeds, and how much the evaluated one has more.

    Args:
        table: the dataset.
        target: name of the target.
        own: predictions of the model that is evaluated.
        other: those of the other, in the same order.
    """
    clips, _, one = _pooled(table, own, target)
    _, _, two = _pooled(table, other, target)
    return ccc_difference(true_values(table, clips, target), one, two, units_of(table)[0][clips])


def value_robustness(
    table: ClipTable, target: str, predictions: Sequence[FoldPredictions], tests: Sequence[Corruption]
) -> list[dict[str, Any]]:
    """The tests on altered recordings, each over the test clips of all folds, uncalibrated; none if they were not made.

    Args:
        table: the dataset.
        target: name of the target.
        predictions: of every fold and seed; those of one seed have answers to altered recordings.
        tests: in the order of these answers.
    """
    found = altered(predictions, target, PartPredictions.outputs)
    if found is None:
        return []
    (low, high), names = Dimensions.of(table).ranges[target], table.dimensions[target].dimensions
    truth = (2 * true_values(table, found.clips, target) - low - high) / (high - low)

    def ccc(values: FloatArray) -> float:
        return float(score_values(truth, values, names)["ccc"])

    return [
        judged_values(test, found.before, values, 2.0, ccc) for test, values in zip(tests, found.after, strict=True)
    ]
