"""One fold with one seed: train, predict the validation and test clips, and remove the checkpoints."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from emotions.files.atomic import remove_left_over
from emotions.pipeline.runner import Context
from training.config.train import TrainStep
from training.corpus import cut_corpus
from training.data.clips import ClipTable
from training.data.split.splits import Split
from training.data.waveforms.clip_info import ClipInfo
from training.features.feature_dataset import ClipDataset
from training.loop.fit import outcome
from training.loop.job import Job, seeded_model, train
from training.loop.precompute import precomputed
from training.loop.score import evaluate
from training.metrics.predictions import FoldPredictions, PartPredictions
from training.run_folder.frozen_encoder import write_encoder
from training.run_folder.read import Trained

_UNFINISHED = ".part"


@dataclass(frozen=True)
class Shared:
    """What all folds have in common. Picklable.

    Attributes:
        steps: training settings of each candidate; often one.
        splits: one per fold, followed by those of the inner folds that the candidates are compared on.
    """

    steps: tuple[TrainStep, ...]
    context: Context
    table: ClipTable
    facts: tuple[ClipInfo, ...]
    splits: tuple[Split, ...]
    folder: Path


@dataclass(frozen=True)
class Task:
    """A candidate on one fold or inner fold with one seed; ``key`` hashes all that determines its predictions."""

    fold: int
    candidate: int
    seed: int
    key: str

    def file(self, folder: Path) -> Path:
        """File of its predictions."""
        return folder / f"{self.key}.npz"


def done_in(shared: Shared) -> list[Path]:
    """Files of the predictions that are there already."""
    return [*shared.folder.glob("*.npz")]


def remove_unfinished(shared: Shared) -> None:
    """Remove what killed processes left of folds: each begins anew."""
    remove_left_over(shared.folder)
    for folder in shared.folder.glob(f"*{_UNFINISHED}"):
        shutil.rmtree(folder, ignore_errors=True)


def run_fold(shared: Shared, task: Task) -> None:
    """Train a fold and write its predictions. Raises EmotionsError as ``training.loop.fit.fit`` does.

    Args:
        shared: what the folds have in common.
        task: the fold.
    """
    started, folder = time.monotonic(), shared.folder / f"{task.key}{_UNFINISHED}"
    shutil.rmtree(folder, ignore_errors=True)
    job = _job(shared, task, folder)
    model = seeded_model(job)
    write_encoder(folder, model)
    job = replace(job, corpus=precomputed(job.corpus, job.step, model))
    train(job, model)
    trained, result = outcome(job)
    test = job.corpus.test
    if test is None:
        raise ValueError(f"fold {task.fold} has no test part")
    split = shared.splits[task.fold]
    val, held_out = _predictions(trained, job.corpus.val, split.val), _predictions(trained, test, split.test)
    seconds = time.monotonic() - started
    FoldPredictions(task.fold, task.seed, result.best_epoch, seconds, val, held_out).write(task.file(shared.folder))
    shutil.rmtree(folder, ignore_errors=True)


def _job(shared: Shared, task: Task, folder: Path) -> Job:
    step = shared.steps[task.candidate]
    folders = {
        "saved_checkpoints_path": [str(folder)],
        "saved_checkpoints_filename": ["best_{epoch:02d}"],
        "tensorboard_lr_monitors_logs_path": None,
    }
    step = step.model_copy(update={"saving_data_params": step.saving_data_params.model_copy(update=folders)})
    context = replace(shared.context, seed=task.seed, quiet=True)
    corpus = cut_corpus(step, shared.table, shared.facts, shared.splits[task.fold])
    return Job(step, context, corpus, folder, None)


def _predictions(trained: Trained, dataset: ClipDataset, clips: Sequence[int]) -> PartPredictions:
    predictions = evaluate(trained.model, dataset)
    known = np.array(clips, np.int64)[predictions.clips]
    return PartPredictions(known, predictions.windows, predictions.logits, weights=predictions.weights)
