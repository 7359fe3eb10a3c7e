"""Tasks of an evaluation: what each is known by, and their answers, whether they are there already or trained now."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from emotions.errors import CheckpointError
from training.config.evaluate import decisive
from training.config.train import TrainStep
from training.corpus import cut_corpus
from training.data.progress import watched
from training.data.splits import PARTS, Split
from training.evaluation.protocols.fold_job import Shared, Task
from training.evaluation.protocols.process_pool import run_folds
from training.loop.precompute import precomputed
from training.metrics.predictions import FoldAnswers, read_answers

_LOG = logging.getLogger(__name__)


def task_of(shared: Shared, fold: int, candidate: int, seed: int) -> Task:
    """A candidate on a fold with a seed. Its key hashes the clips' identities too: answers name clips by place."""
    identities = [clip.identity for clip in shared.table.clips]
    data = [shared.table.fingerprint, identities, shared.table.targets, _parts(shared.splits[fold])]
    return Task(fold, candidate, seed, hash_of([1, decisive(shared.steps[candidate]), seed, data]))


def hash_of(content: Any) -> str:
    """SHA-256 of JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _parts(split: Split) -> list[tuple[int, ...]]:
    return [getattr(split, part) for part in PARTS]


def answered(shared: Shared, tasks: Sequence[Task], jobs: int | Literal["auto"], name: str) -> list[FoldAnswers]:
    """The answers of all tasks, in their order; those that no file holds yet are trained.

    Args:
        shared: what the tasks have in common.
        tasks: what to answer.
        jobs: how many to train at once.
        name: what they are, such as ``Folds``, for who waits.

    Raises:
        EmotionsError: as ``run_folds`` does; what was done is kept.
        CheckpointError: answers are gone.
    """
    left = [task for task in tasks if read_answers(task.file(shared.folder)) is None]
    if left:
        if len(left) < len(tasks):
            _LOG.warning("%d of %d %s are done already", len(tasks) - len(left), len(tasks), name.lower())
        for step in shared.steps:
            _precompute(shared, step)
        for _ in watched(run_folds(shared, left, jobs), len(left), name):
            pass
    found = [read_answers(task.file(shared.folder)) for task in tasks]
    whole = [each for each in found if each is not None]
    if len(whole) < len(found):
        raise CheckpointError(f"{shared.folder}: answers of a fold are gone; start again")
    return whole


def _precompute(shared: Shared, step: TrainStep) -> None:
    """Compute the features of all clips once, before the folds share them."""
    every = tuple(range(len(shared.table)))
    split = replace(shared.splits[0], train=every, val=shared.splits[0].val, test=())
    corpus = cut_corpus(step, shared.table, shared.facts, split)
    precomputed(corpus, step)
