"""What an evaluation measures beside its model: another model on the same folds, and altered recordings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from emotions.audio.windows import FloatArray, IntArray
from training.data.clips import ClipTable
from training.data.split.units import units_of
from training.data.waveforms.dataset import NO_LABEL
from training.evaluation.perturbations import Corruption, judged
from training.metrics.classification import confusions, score
from training.metrics.intervals import difference
from training.metrics.predictions import FoldPredictions, PartPredictions, truth_of


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


class Altered(NamedTuple):
    """Answers to recordings as they are, and altered.

    Attributes:
        clips: (clips,) test clips of all folds.
        before: (clips, answers) to the recordings as they are.
        after: (tests, clips, answers).
    """

    clips: IntArray
    before: FloatArray
    after: FloatArray


def altered(
    predictions: Sequence[FoldPredictions], target: str, answers: Callable[[PartPredictions, str], FloatArray]
) -> Altered | None:
    """Gather the answers to altered recordings over all folds; None where they were not made.

    Args:
        predictions: of every fold and seed; those of one seed have answers to altered recordings.
        target: name of the target.
        answers: what a fold's test clips were answered.
    """
    found = [each for each in predictions if each.altered]
    if not found:
        return None
    return Altered(
        np.concatenate([each.test.clips for each in found]),
        np.concatenate([answers(each.test, target) for each in found]),
        np.concatenate([each.altered[target] for each in found], axis=1),
    )


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
    found = altered(predictions, target, PartPredictions.probabilities)
    if found is None:
        return []
    truth, labels = truth_of(table, found.clips, target), table.labels(target)
    known = truth != NO_LABEL
    before, after = found.before[known].argmax(axis=1), found.after[:, known].argmax(axis=2)

    def uar(answers: IntArray) -> float:
        return float(score(truth[known], answers, labels)["uar"])

    return [judged(test, before, answers, uar) for test, answers in zip(tests, after, strict=True)]
