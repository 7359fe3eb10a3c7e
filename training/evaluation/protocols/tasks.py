"""Tasks of an evaluation: their keys, and their predictions, read from disk or trained now."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from emotions.errors import CheckpointError
from training.config.evaluate import decisive
from training.corpus import cut_corpus
from training.data.progress import watched
from training.data.split.splits import PARTS
from training.evaluation.protocols.fold_job import Shared, Task
from training.evaluation.protocols.process_pool import run_folds
from training.loop.precompute import precomputed
from training.metrics.predictions import FoldPredictions, read_predictions

_LOG = logging.getLogger(__name__)


def task_of(shared: Shared, fold: int, candidate: int, seed: int, *, altered: bool = False) -> Task:
    """The task of a candidate on a fold with a seed.

    Its key hashes the clips' identities too, because predictions refer to clips by index.

    Args:
        shared: what the folds have in common.
        fold: index into the splits.
        candidate: index into the steps.
        seed: seed of the training.
        altered: whether it answers altered recordings, too.
    """
    identities = [clip.identity for clip in shared.table.clips]
    split = [getattr(shared.splits[fold], part) for part in PARTS]
    data = [shared.table.fingerprint, identities, shared.table.targets, split]
    more: list[Any] = ["altered"] if altered else []
    more += [] if shared.teacher is None else [shared.teacher.identity]
    key = hash_of([1, decisive(shared.steps[candidate]), seed, data, *more])
    return Task(fold, candidate, seed, key, altered)


def hash_of(content: Any) -> str:
    """Hex SHA-256 of the content as JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def predictions_of(
    shared: Shared, tasks: Sequence[Task], jobs: int | Literal["auto"], name: str
) -> list[FoldPredictions]:
    """Predictions of all tasks, in their order; those without a file are trained first.

    Args:
        shared: what the folds have in common.
        tasks: what to predict.
        jobs: number of trainings at once.
        name: title of the progress bar, such as ``Folds``.
    """
    found = {task: read_predictions(task.file(shared.folder)) for task in tasks}
    missing = [task for task in found if found[task] is None]
    if missing:
        if len(missing) < len(tasks):
            _LOG.warning("%d of %d %s are done already", len(tasks) - len(missing), len(tasks), name.lower())
        every = replace(shared.splits[0], train=tuple(range(len(shared.table))), test=())
        for step in shared.steps:  # the features of all clips, once, before the folds share them
            precomputed(cut_corpus(step, shared.table, shared.facts, every, teacher=shared.teacher), step)
        for task in watched(run_folds(shared, missing, jobs), len(missing), name):
            found[task] = read_predictions(task.file(shared.folder))
    predictions = [each for each in map(found.get, tasks) if each is not None]
    if len(predictions) < len(tasks):
        raise CheckpointError(f"{shared.folder}: predictions of a fold are gone; start again")
    return predictions
