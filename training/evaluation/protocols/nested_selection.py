"""Nested choice: inside each fold, candidates are compared on inner folds of the clips that it does not test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from emotions.audio.windows import FloatArray
from emotions.errors import DataError
from training.config.train import SplitConfig
from training.data.clips import ClipTable
from training.data.splits import PARTS, Split
from training.evaluation.protocols.fold_job import Shared
from training.evaluation.protocols.folds import make_folds
from training.evaluation.protocols.tasks import answered, task_of
from training.metrics.classification import score
from training.metrics.predictions import PartAnswers, truth_of


@dataclass(frozen=True)
class Selection:
    """What the folds have chosen, and by which figures.

    Attributes:
        figures: (folds, candidates, inner folds) float64: UAR of the first target; NaN where no clip has its label.
        seconds: what the inner trainings took, together.
    """

    figures: FloatArray
    seconds: float

    @property
    def means(self) -> FloatArray:
        """(folds, candidates): what the candidates are compared by."""
        means: FloatArray = np.nanmean(self.figures, axis=2)
        return means

    @property
    def candidates(self) -> list[int]:
        """The candidate of each fold; of equals the first."""
        best: list[int] = self.means.argmax(axis=1).tolist()
        return best


def inner_splits(
    table: ClipTable, splits: Sequence[Split], config: SplitConfig, folds: int, seed: int
) -> Iterator[Split]:
    """The inner folds of each fold, one fold after the other: whole groups of its training and validation clips.

    Args:
        table: the clips.
        splits: the folds; their test clips are in no part of an inner fold.
        config: the share for validation.
        folds: inner folds of each.
        seed: seed of the draw.

    Raises:
        DataError: a fold has fewer groups to train on than inner folds, or a class that these could not learn.
    """
    for number, split in enumerate(splits, 1):
        known = np.array(sorted((*split.train, *split.val)))
        grouped = config.model_copy(update={"by": split.by})
        try:
            inner = make_folds(table.select(known), "group_kfold", folds, grouped, [seed])
        except DataError as error:
            raise DataError(f"choose: among the training clips of fold {number}: {error}") from error
        for each in inner.splits:
            train, val, test = (tuple(known[[*getattr(each, part)]].tolist()) for part in PARTS)
            yield replace(each, train=train, val=val, test=test)


def choose(shared: Shared, folds: int, inner: int, seed: int, jobs: int | Literal["auto"]) -> Selection:
    """Train every candidate on every inner fold, and compare.

    Args:
        shared: its splits are the folds, then ``inner`` of each of them.
        folds: how many folds.
        inner: how many inner folds each has.
        seed: seed of all inner trainings.
        jobs: how many to train at once.

    Raises:
        EmotionsError: as ``answered`` does.
    """
    shape = (folds, len(shared.steps), inner)
    tasks = [
        task_of(shared, folds + fold * inner + part, candidate, seed) for fold, candidate, part in np.ndindex(shape)
    ]
    answers = answered(shared, tasks, jobs, "Inner folds")
    figures = np.array([_uar(each.test, shared.table) for each in answers]).reshape(shape)
    return Selection(figures, sum(each.seconds for each in answers))


def _uar(answers: PartAnswers, table: ClipTable) -> float:
    target = table.targets[0]
    truth, probabilities = answers.labelled(target, truth_of(table, answers.clips, target))
    if not len(truth):
        return float("nan")
    return float(score(truth, probabilities(1.0).argmax(axis=1), table.labels(target))["uar"])


def summary_of(fold: int, chosen: Selection) -> dict[str, Any]:
    """What a fold has chosen, as JSON: the candidate's place, from 1, and inner figures in the candidates' order."""
    inner = [[None if np.isnan(value) else value for value in row] for row in chosen.figures[fold].tolist()]
    return {
        "candidate": chosen.candidates[fold] + 1,
        "inner_uar": chosen.means[fold].tolist(),
        "inner_uar_by_fold": inner,
    }
