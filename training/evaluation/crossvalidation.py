"""The ``evaluate`` step: ``clips -> folds -> audit -> one training a fold and seed -> answers -> report``."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from emotions.errors import CheckpointError, ConfigError
from emotions.pipeline import Context
from training.config import TrainStep, joined
from training.data.cache import WaveformCache
from training.data.clips import ClipTable
from training.data.leakage import audit
from training.data.progress import watched
from training.data.splits import PARTS, Split
from training.evaluate_config import EvaluateStep
from training.evaluation.answers import FoldAnswers, read_answers
from training.evaluation.fold_job import Shared, Task
from training.evaluation.folds import Folds, make_folds
from training.evaluation.pool import run_folds
from training.evaluation.report import Evidence, write_report
from training.loop.corpus import cut_corpus, read_usable
from training.loop.precompute import precomputed
from training.models.registry import build_model

FOLDS = "folds"
_LOG = logging.getLogger(__name__)


def cross_validate(step: EvaluateStep, context: Context) -> Path:
    """Measure a model by a protocol, or go on with a measurement that was interrupted.

    Args:
        step: what to train, on what, by which protocol.
        context: root, seed and workers.

    Returns:
        The report's folder.

    Raises:
        DataError: the dataset cannot be used, or not cut into such folds; or something leaks between the parts.
        ConfigError: the model cannot be built or trained so.
        DeviceError: the accelerator asked for cannot be used, or a process was killed.
    """
    training = step.training()
    _check(training)
    table, facts = read_usable(step.dataset, context)
    seeds = step.seeds or [context.seed]
    folds = make_folds(table, step.protocol, step.folds, step.dataset.split, seeds)
    leaks = audit(table, facts, folds.splits, step.dataset, WaveformCache())
    leaks.raise_for(str(table.root))
    output = _output(step, context, table, folds)
    shared = Shared(training, context, table, tuple(facts), folds.splits, output / FOLDS)
    tasks = [Task(fold, seed, _key(shared, fold, seed)) for seed in seeds for fold in range(len(folds))]
    _run(shared, tasks, step)
    return write_report(output, step, Evidence(table, folds, leaks, _answers(shared, tasks)))


def _check(step: TrainStep) -> None:
    if step.devices not in ("auto", 1):
        raise ConfigError("devices: an evaluate step trains each fold on one device; set jobs for more folds at once")
    if step.saving_data_params.start_from_saved_checkpoint_path is not None:
        raise ConfigError(
            "saving_data_params.start_from_saved_checkpoint_path: an evaluate step trains every fold anew, because a "
            "checkpoint may have seen its test speakers"
        )


def _run(shared: Shared, tasks: list[Task], step: EvaluateStep) -> None:
    left = [task for task in tasks if read_answers(task.file(shared.folder)) is None]
    if not left:
        return
    if len(left) < len(tasks):
        _LOG.warning("%d of %d folds are done already", len(tasks) - len(left), len(tasks))
    _precompute(shared)
    for _ in watched(run_folds(shared, left, step.jobs), len(left), "Folds"):
        pass


def _precompute(shared: Shared) -> None:
    """Compute the features of all clips once, before the folds share them."""
    every = tuple(range(len(shared.table)))
    split = replace(shared.splits[0], train=every, val=shared.splits[0].val, test=())
    corpus = cut_corpus(shared.step, shared.table, shared.facts, split)
    with torch.random.fork_rng(devices=[]):
        model = build_model(corpus.spec)
    precomputed(corpus, model, shared.step, augmented=shared.step.learn_params.augments_waveform)


def _answers(shared: Shared, tasks: list[Task]) -> list[FoldAnswers]:
    found = [read_answers(task.file(shared.folder)) for task in tasks]
    whole = [each for each in found if each is not None]
    if len(whole) < len(found):
        raise CheckpointError(f"{shared.folder}: answers of a fold are gone; start again")
    return whole


def _decisive(step: TrainStep) -> dict[str, Any]:
    """What decides on a fold's model, but for the data."""
    kept = {"model", "model_architecture", "learn_params"}
    return step.model_dump(mode="json", include=kept)


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _key(shared: Shared, fold: int, seed: int) -> str:
    """Hash of all that decides on a fold's answers; they name clips by their place, so that counts too."""
    identities = [clip.identity for clip in shared.table.clips]
    data = [shared.table.fingerprint, identities, shared.table.targets, _parts(shared.splits[fold])]
    return _hash([1, _decisive(shared.step), seed, data])


def _parts(split: Split) -> list[tuple[int, ...]]:
    return [getattr(split, part) for part in PARTS]


def _output(step: EvaluateStep, context: Context, table: ClipTable, folds: Folds) -> Path:
    """The folder that the step names, else one below ``runs`` that the same evaluation always gets."""
    if step.output is not None:
        return context.root / joined(step.output)
    content = [_decisive(step.training()), step.seeds or [context.seed], table.fingerprint, folds.protocol]
    return context.root / "runs" / f"evaluate-{step.model}-{step.protocol}-{_hash(content)[:8]}"
