"""What an evaluation measures beside its model: another model on the same folds, and altered recordings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from emotions.audio.windows import IntArray
from training.data.clips import ClipTable
from training.data.split.units import units_of
from training.data.waveforms.dataset import NO_LABEL
from training.evaluation.perturbations import Corruption, judged
from training.metrics.classification import confusions, score
from training.metrics.intervals import difference
from training.metrics.predictions import FoldPredictions, truth_of


def comparison(
    table: ClipTable, target: str, own: Sequence[FoldPredictions], other: Sequence[FoldPredictions]
) -> dict[str, Any]:
    """UAR of another model on the same folds with the same seeds, and how much the evaluated one has more.

    Args:
        table: the dataset.
        target: name of the target.
        own: predictions of the model that is evaluated.
        other: those of the other, in the same order.
    """
    clips, one = _answers(table, target, own)
    _, two = _answers(table, target, other)
    truth = truth_of(table, clips, target)
    speakers = np.unique(units_of(table)[0][clips], return_inverse=True)[1]
    counts = [confusions(truth, each, len(table.labels(target)), speakers) for each in (one, two)]
    uar, more, bounds = difference(*counts)
    return {"uar": uar, "uar_difference": more, "uar_difference_ci": bounds}


def _answers(table: ClipTable, target: str, predictions: Sequence[FoldPredictions]) -> tuple[IntArray, IntArray]:
    """(clips,) labelled test clips of all folds, ascending, and (seeds, clips) class indices of the answers."""
    rows, clips = [], np.zeros(0, np.int64)
    for seed in sorted({each.seed for each in predictions}):
        found = [each.test for each in predictions if each.seed == seed]
        clips = np.concatenate([each.clips for each in found])
        answers = np.concatenate([each.probabilities(target).argmax(axis=1) for each in found])
        rows.append(answers[np.argsort(clips)])
    clips = np.sort(clips)
    known = truth_of(table, clips, target) != NO_LABEL
    return clips[known], np.stack(rows)[:, known]


def robustness(
    table: ClipTable, target: str, predictions: Sequence[FoldPredictions], tests: Sequence[Corruption]
) -> list[dict[str, Any]]:
    """The tests on altered recordings, each over the test clips of all folds; none where they were not made.

    Args:
        table: the dataset.
        target: name of the target.
        predictions: of every fold and seed; those of one seed have answers to altered recordings.
        tests: in the order of these answers.
    """
    found = [each for each in predictions if each.altered]
    if not found:
        return []
    clips = np.concatenate([each.test.clips for each in found])
    truth = truth_of(table, clips, target)
    known = truth != NO_LABEL
    before = np.concatenate([each.test.probabilities(target) for each in found])[known].argmax(axis=1)
    after = np.concatenate([each.altered[target] for each in found], axis=1)[:, known].argmax(axis=2)
    labels = table.labels(target)

    def uar(answers: IntArray) -> float:
        return float(score(truth[known], answers, labels)["uar"])

    return [judged(test, before, answers, uar) for test, answers in zip(tests, after, strict=True)]
