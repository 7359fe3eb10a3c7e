"""Nested cross-validation: each fold selects its candidate on inner folds of the clips that it does not test.

What the selected one answers to the clips of its inner folds, which it was not trained on, calibrates the fold where
the config asks for no validation part.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from emotions.audio.windows import FloatArray
from emotions.errors import DataError
from training.config.dataset import SplitConfig
from training.data.clips import ClipTable
from training.data.split.inner_folds import inner_folds
from training.data.split.splits import PARTS, Split
from training.evaluation.protocols.fold_job import Shared
from training.evaluation.protocols.folds import make_folds
from training.evaluation.protocols.tasks import predictions_of, task_of
from training.evaluation.protocols.values import ccc_of
from training.metrics.classification import score
from training.metrics.predictions import PartPredictions, joined, truth_of


@dataclass(frozen=True)
class Selection:
    """The candidates that the folds selected, and their inner metrics.

    Attributes:
        figures: (folds, candidates, inner folds) float64: UAR of the first target, or its CCC where it has dimensions;
            NaN where no clip has its label, and where a fold has fewer inner folds.
        answers: of each fold and candidate, predictions for the clips of its inner folds.
        seconds: total time of the inner trainings.
    """

    figures: FloatArray
    answers: Sequence[Sequence[PartPredictions]]
    seconds: float

    @property
    def means(self) -> FloatArray:
        """(folds, candidates): mean figure over the inner folds."""
        means: FloatArray = np.nanmean(self.figures, axis=2)
        return means

    @property
    def candidates(self) -> list[int]:
        """Index of each fold's candidate; of equals the first."""
        best: list[int] = self.means.argmax(axis=1).tolist()
        return best

    def out_of_fold(self, fold: int) -> PartPredictions:
        """What a fold's candidate says of the clips that it does not test, by trainings without them."""
        return self.answers[fold][self.candidates[fold]]

    def summary(self, fold: int) -> dict[str, Any]:
        """A fold's selection as JSON: the candidate's number, from 1, and the inner UAR, or CCC, of all candidates."""
        inner = [[None if np.isnan(value) else value for value in row] for row in self.figures[fold].tolist()]
        return {
            "candidate": self.candidates[fold] + 1,
            "inner_uar": self.means[fold].tolist(),
            "inner_uar_by_fold": inner,
        }


def inner_splits(
    table: ClipTable, splits: Sequence[Split], config: SplitConfig, folds: int, seed: int
) -> list[list[Split]]:
    """The inner folds of each fold, cut by whole groups from its training and validation clips.

    Args:
        table: the clips.
        splits: the folds; their test clips are in no part of an inner fold.
        config: the share for validation, or that there is none.
        folds: inner folds of each; there may be fewer where there is no validation part.
        seed: seed of the draw.
    """
    if config.val_folds:
        return [inner_folds(table, split, folds, seed) for split in splits]
    return [_inner_folds(table, split, config, folds, seed, number) for number, split in enumerate(splits, 1)]


def _inner_folds(
    table: ClipTable, split: Split, config: SplitConfig, folds: int, seed: int, number: int
) -> list[Split]:
    known = np.array(sorted((*split.train, *split.val)))
    grouped = config.model_copy(update={"by": split.by})
    try:
        inner = make_folds(table.select(known), "group_kfold", folds, grouped, [seed])
    except DataError as error:
        raise DataError(f"choose: among the training clips of fold {number}: {error}") from error
    parts = ((tuple(known[[*getattr(each, part)]].tolist()) for part in PARTS) for each in inner.splits)
    return [
        replace(each, train=train, val=val, test=test)
        for each, (train, val, test) in zip(inner.splits, parts, strict=True)
    ]


def select_candidates(
    shared: Shared, candidates: int, inner: Sequence[int], seed: int, jobs: int | Literal["auto"]
) -> Selection:
    """Train every candidate on every inner fold, and compare.

    Args:
        shared: its splits are the folds, then the inner ones of each of them; its first steps are the candidates.
        candidates: how many there are.
        inner: number of inner folds of each fold.
        seed: seed of all inner trainings.
        jobs: number of trainings at once.
    """
    models, first = range(candidates), np.cumsum([len(inner), *inner])
    tasks = [
        task_of(shared, place, model, seed)
        for start, end in itertools.pairwise(first.tolist())
        for model in models
        for place in range(start, end)
    ]
    found = iter(predictions_of(shared, tasks, jobs, "Inner folds"))
    answers = [[[*itertools.islice(found, count)] for _ in models] for count in inner]
    figures = np.full((len(inner), len(models), max(inner)), np.nan)
    for fold, model in np.ndindex(len(inner), len(models)):
        each = answers[fold][model]
        figures[fold, model, : len(each)] = [_figure(one.test, shared.table) for one in each]
    seconds = sum(one.seconds for fold in answers for each in fold for one in each)
    return Selection(figures, [[joined([one.test for one in each]) for each in fold] for fold in answers], seconds)


def _figure(predictions: PartPredictions, table: ClipTable) -> float:
    if not table.targets:
        return ccc_of(table, predictions, next(iter(table.dimensions)))
    target = table.targets[0]
    truth, probabilities = predictions.labelled(target, truth_of(table, predictions.clips, target))
    if not len(truth):
        return float("nan")
    return float(score(truth, probabilities(1.0).argmax(axis=1), table.labels(target))["uar"])
