"""Nested cross-validation: each fold selects its candidate on inner folds of the clips that it does not test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from emotions.audio.windows import FloatArray
from emotions.errors import DataError
from training.config.dataset import SplitConfig
from training.data.clips import ClipTable
from training.data.split.splits import PARTS, Split
from training.evaluation.protocols.fold_job import Shared
from training.evaluation.protocols.folds import make_folds
from training.evaluation.protocols.tasks import predictions_of, task_of
from training.metrics.classification import score
from training.metrics.predictions import PartPredictions, truth_of


@dataclass(frozen=True)
class Selection:
    """The candidates that the folds selected, and their inner metrics.

    Attributes:
        figures: (folds, candidates, inner folds) float64: UAR of the first target; NaN where no clip has its label.
        seconds: total time of the inner trainings.
    """

    figures: FloatArray
    seconds: float

    @property
    def means(self) -> FloatArray:
        """(folds, candidates): mean UAR over the inner folds."""
        means: FloatArray = np.nanmean(self.figures, axis=2)
        return means

    @property
    def candidates(self) -> list[int]:
        """Index of each fold's candidate; of equals the first."""
        best: list[int] = self.means.argmax(axis=1).tolist()
        return best

    def summary(self, fold: int) -> dict[str, Any]:
        """A fold's selection as JSON: the candidate's number, from 1, and the inner UAR of all candidates."""
        inner = [[None if np.isnan(value) else value for value in row] for row in self.figures[fold].tolist()]
        return {
            "candidate": self.candidates[fold] + 1,
            "inner_uar": self.means[fold].tolist(),
            "inner_uar_by_fold": inner,
        }


def inner_splits(
    table: ClipTable, splits: Sequence[Split], config: SplitConfig, folds: int, seed: int
) -> Iterator[Split]:
    """The inner folds of each fold in turn, cut by whole groups from its training and validation clips.

    Args:
        table: the clips.
        splits: the folds; their test clips are in no part of an inner fold.
        config: the share for validation.
        folds: inner folds of each.
        seed: seed of the draw.
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


def select_candidates(shared: Shared, folds: int, inner: int, seed: int, jobs: int | Literal["auto"]) -> Selection:
    """Train every candidate on every inner fold, and compare.

    Args:
        shared: its splits are the folds, then ``inner`` of each of them.
        folds: number of folds.
        inner: number of inner folds of each.
        seed: seed of all inner trainings.
        jobs: number of trainings at once.
    """
    shape = (folds, len(shared.steps), inner)
    tasks = [
        task_of(shared, folds + fold * inner + part, candidate, seed) for fold, candidate, part in np.ndindex(shape)
    ]
    predictions = predictions_of(shared, tasks, jobs, "Inner folds")
    figures = np.array([_uar(each.test, shared.table) for each in predictions]).reshape(shape)
    return Selection(figures, sum(each.seconds for each in predictions))


def _uar(predictions: PartPredictions, table: ClipTable) -> float:
    target = table.targets[0]
    truth, probabilities = predictions.labelled(target, truth_of(table, predictions.clips, target))
    if not len(truth):
        return float("nan")
    return float(score(truth, probabilities(1.0).argmax(axis=1), table.labels(target))["uar"])
