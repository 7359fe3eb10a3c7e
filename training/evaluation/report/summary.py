"""Metrics of an evaluation with intervals: per target, class, speaker and group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emotions.audio.windows import FloatArray, IntArray
from training.metrics.classification import Array, confusions, figures, score
from training.metrics.intervals import intervals

FIGURES = ("uar", "wa", "macro_f1")
_FEW_CLIPS = 5


@dataclass(frozen=True)
class Measured:
    """Predictions for clips of one target, by one model or by one per seed.

    Attributes:
        labels: labels in output order.
        truth: (clips,) int64 class indices.
        probabilities: (seeds, clips, classes) float32.
        speakers: (clips,) int64: index of the speaker, or of the unit in its place.
        unit: kind of the unit: ``speaker``, ``recording``, ...
    """

    labels: Sequence[str]
    truth: IntArray
    probabilities: FloatArray
    speakers: IntArray
    unit: str

    @property
    def predicted(self) -> IntArray:
        """(seeds, clips) int64."""
        predicted: IntArray = self.probabilities.argmax(axis=2)
        return predicted

    def select(self, clips: Any) -> Measured:
        """The predictions for some of the clips."""
        return Measured(self.labels, self.truth[clips], self.probabilities[:, clips], self.speakers[clips], self.unit)


def summarise(measured: Measured, columns: Mapping[str, Sequence[str | None]]) -> dict[str, Any]:
    """All metrics of one target as JSON; means over the seeds.

    Args:
        measured: the predictions.
        columns: name -> value of each clip, or None where it has none.
    """
    counts = confusions(measured.truth, measured.predicted, len(measured.labels), measured.speakers)
    by_seed = [score(measured.truth, predicted, measured.labels) for predicted in measured.predicted]
    return {
        **_overall(counts, measured),
        "labels": list(measured.labels),
        "confusion": np.mean([each["confusion"] for each in by_seed], axis=0).tolist(),
        "per_class": _per_class(counts, measured),
        "seeds": [{name: each[name] for name in FIGURES} for each in by_seed],
        "per_speaker": _table(measured, measured.speakers, [f"{measured.unit} {n + 1}" for n in range(len(counts))]),
        "per_group": {name: _groups(measured, values) for name, values in columns.items()},
    }


def _overall(counts: Array, measured: Measured) -> dict[str, Any]:
    point, bounds = figures(counts.sum(axis=0)), intervals(counts)
    found: dict[str, Any] = {}
    for name in FIGURES:
        found |= {name: float(point[name].mean()), f"{name}_ci": bounds[name]}
    return {**found, "clips": len(measured.truth), "speakers": len(counts), "interval_over": measured.unit}


def _per_class(counts: Array, measured: Measured) -> dict[str, Any]:
    point, bounds = figures(counts.sum(axis=0)), intervals(counts)
    table = {}
    for index, label in enumerate(measured.labels):
        row: dict[str, Any] = {"clips": int((measured.truth == index).sum())}
        for name in ("recall", "precision", "f1"):
            value = float(np.mean(point[name][..., index]))
            known = row["clips"] > 0 and np.isfinite(value)
            row |= {name: value if known else None, f"{name}_ci": bounds[f"{name}.{index}"] if known else None}
        table[label] = row
    return table


def _groups(measured: Measured, values: Sequence[str | None]) -> list[dict[str, Any]]:
    names = sorted({value for value in values if value})
    number = {name: index for index, name in enumerate(names)}
    return _table(measured, np.array([number.get(value or "", -1) for value in values]), names)


def _table(measured: Measured, groups: IntArray, names: Sequence[str]) -> list[dict[str, Any]]:
    """One row per group. The interval of a group with a single speaker is over its clips."""
    rows = []
    for index, name in enumerate(names):
        part = measured.select(np.flatnonzero(groups == index))
        if not len(part.truth):
            continue
        distinct, speakers = np.unique(part.speakers, return_inverse=True)
        alone = len(distinct) == 1
        units = np.arange(len(part.truth)) if alone else speakers
        counts = confusions(part.truth, part.predicted, len(part.labels), units)
        row = {"name": name, **_overall(counts, part), "speakers": len(distinct)}
        row["interval_over"] = "clip" if alone else measured.unit
        if len(part.truth) < _FEW_CLIPS:
            row |= {f"{figure}_ci": None for figure in FIGURES}
            row["note"] = f"{len(part.truth)} clips are too few to say anything"
        rows.append(row)
    return rows
