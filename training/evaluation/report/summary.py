"""Figures of an evaluation: per target, per class, per speaker and per group, each with its interval."""

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
    """What was said of clips of one target, by one model or by one for each seed.

    Attributes:
        labels: in output order.
        truth: (clips,) int64 class indices.
        probabilities: (seeds, clips, classes) float32.
        speakers: (clips,) int64: who speaks, or what else stands for a speaker.
        unit: what that is: ``speaker``, ``recording``, ...
    """

    labels: Sequence[str]
    truth: IntArray
    probabilities: FloatArray
    speakers: IntArray
    unit: str

    @property
    def predicted(self) -> IntArray:
        """(seeds, clips) int64."""
        said: IntArray = self.probabilities.argmax(axis=2)
        return said

    def select(self, clips: Any) -> Measured:
        """The same of some clips."""
        return Measured(self.labels, self.truth[clips], self.probabilities[:, clips], self.speakers[clips], self.unit)


def summarise(measured: Measured, columns: Mapping[str, Sequence[str | None]]) -> dict[str, Any]:
    """All figures of one target as JSON; means over the seeds.

    Args:
        measured: what was said.
        columns: name -> value of each clip, or None where it has none.
    """
    counts = confusions(measured.truth, measured.predicted, len(measured.labels), measured.speakers)
    by_seed = [score(measured.truth, said, measured.labels) for said in measured.predicted]
    return {
        **_overall(counts, measured),
        "labels": list(measured.labels),
        "confusion": np.mean([each["confusion"] for each in by_seed], axis=0).tolist(),
        "per_class": _per_class(counts, measured),
        "seeds": [{name: each[name] for name in FIGURES} for each in by_seed],
        "per_speaker": _table(measured, measured.speakers, [f"{measured.unit} {n + 1}" for n in _numbers(measured)]),
        "per_group": {name: _groups(measured, values) for name, values in columns.items()},
    }


def _numbers(measured: Measured) -> range:
    return range(int(measured.speakers.max()) + 1)


def _overall(counts: Array, measured: Measured) -> dict[str, Any]:
    point, sure = figures(counts.sum(axis=0)), intervals(counts)
    found: dict[str, Any] = {}
    for name in FIGURES:
        found |= {name: float(point[name].mean()), f"{name}_ci": sure[name]}
    return {**found, "clips": len(measured.truth), "speakers": len(counts), "interval_over": measured.unit}


def _per_class(counts: Array, measured: Measured) -> dict[str, Any]:
    point, sure = figures(counts.sum(axis=0)), intervals(counts)
    table = {}
    for index, label in enumerate(measured.labels):
        row: dict[str, Any] = {"clips": int((measured.truth == index).sum())}
        for name in ("recall", "precision", "f1"):
            value = float(np.mean(point[name][..., index]))
            known = row["clips"] > 0 and np.isfinite(value)
            row |= {name: value if known else None, f"{name}_ci": sure[f"{name}.{index}"] if known else None}
        table[label] = row
    return table


def _groups(measured: Measured, values: Sequence[str | None]) -> list[dict[str, Any]]:
    names = sorted({value for value in values if value})
    number = {name: index for index, name in enumerate(names)}
    return _table(measured, np.array([number.get(value or "", -1) for value in values]), names)


def _table(measured: Measured, groups: IntArray, names: Sequence[str]) -> list[dict[str, Any]]:
    """A row a group. A group of one speaker has its interval over its clips: they tell nothing of other speakers."""
    rows = []
    for index, name in enumerate(names):
        part = measured.select(np.flatnonzero(groups == index))
        if not len(part.truth):
            continue
        speakers = np.unique(part.speakers, return_inverse=True)[1].reshape(-1)
        alone = int(speakers.max()) == 0
        units = np.arange(len(part.truth)) if alone else speakers
        counts = confusions(part.truth, part.predicted, len(part.labels), units)
        row = {"name": name, **_overall(counts, part), "speakers": int(speakers.max()) + 1}
        row["interval_over"] = "clip" if alone else measured.unit
        if len(part.truth) < _FEW_CLIPS:
            row |= {f"{figure}_ci": None for figure in FIGURES}
            row["note"] = f"{len(part.truth)} clips are too few to say anything"
        rows.append(row)
    return rows
