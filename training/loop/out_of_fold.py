"""Answers to clips by models that were not trained on them: one training a fold (Stone, 1974)."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from emotions.audio.windows import FloatArray
from training.config.train import SavingDataParams
from training.corpus import cut_corpus
from training.data.split.inner_folds import inner_folds
from training.data.waveforms.dataset import shares_key
from training.features.feature_dataset import ClipDataset
from training.loop.job import Job, outcome, seeded_model, train
from training.loop.precompute import precomputed
from training.loop.score import ClipPredictions, evaluate
from training.metrics.predictions import NOTHING, FoldPredictions, PartPredictions, joined, read_predictions, truth_of
from training.models.base import Classifier
from training.run_folder.frozen_encoder import write_encoder

FOLDS = "folds"
"""Folder, in a run folder, of the folds that are done, until all of them are."""
_LOG = logging.getLogger(__name__)


def out_of_fold(job: Job) -> ClipPredictions:
    """Train the job's model once without each inner fold, and predict that fold's clips.

    What is done is kept in the job's folder until all is: an interrupted run goes on.

    Args:
        job: a training without a validation part.

    Returns:
        Predictions for the clips of the training part, but for those that no fold could leave out; ``clips`` are
        positions in ``job.corpus.split.train``.
    """
    corpus, folder = job.corpus, job.folder / FOLDS
    splits = inner_folds(corpus.table, corpus.split, job.step.dataset.split.val_folds, job.context.seed)
    _LOG.warning("validating by %d folds: a training without each", len(splits))
    found = []
    for number, split in enumerate(splits):
        kept = folder / f"{number}.npz"
        predictions = read_predictions(kept)
        if predictions is None:
            step = job.step.model_copy(update={"devices": "auto", "engine": "local"})
            cut = cut_corpus(step, corpus.table, corpus.facts, split, teacher=corpus.teacher)
            context = replace(job.context, quiet=True)
            predictions = train_fold(Job(step, context, cut, folder / str(number), None), number)
            predictions.write(kept)
        found.append(predictions.test)
    together = joined(found)
    shutil.rmtree(folder, ignore_errors=True)
    return _with_truth(together, job)


def _with_truth(predictions: PartPredictions, job: Job) -> ClipPredictions:
    corpus = job.corpus
    places = np.searchsorted(np.array(corpus.split.train), predictions.clips)
    truth: dict[str, Any] = {target: truth_of(corpus.table, predictions.clips, target) for target in corpus.spec.labels}
    truth |= {target: corpus.train.values(target)[places] for target in corpus.spec.ranges}
    shares = {shares_key(target): corpus.train.shares_of(target) for target in corpus.spec.labels}
    truth |= {key: each[places] for key, each in shares.items() if each is not None}
    return ClipPredictions(places, predictions.windows, predictions.logits, truth, weights=predictions.weights)


def train_fold(
    job: Job, fold: int, more: Callable[[Classifier], Mapping[str, FloatArray]] = lambda _: {}
) -> FoldPredictions:
    """Train a fold, predict its validation and test clips, and remove its folder.

    Args:
        job: the training, with a test part.
        fold: its number.
        more: given the model, answers to altered recordings of the test clips.

    Raises:
        EmotionsError: as ``training.loop.fit.fit``.
    """
    started = time.monotonic()
    shutil.rmtree(job.folder, ignore_errors=True)
    job = replace(job, step=job.step.model_copy(update=_in(job)))
    model = seeded_model(job)
    write_encoder(job.folder, model)
    job = replace(job, corpus=precomputed(job.corpus, job.step, model))
    train(job, model)
    trained, result = outcome(job)
    split = job.corpus.split
    val, test = (
        _predictions(trained.model, part, clips)
        for part, clips in ((job.corpus.val, split.val), (job.corpus.test, split.test))
    )
    altered = more(trained.model)
    shutil.rmtree(job.folder, ignore_errors=True)
    seconds = time.monotonic() - started
    return FoldPredictions(fold, job.context.seed, result.best_epoch, seconds, val, test, altered=altered)


def _in(job: Job) -> dict[str, Any]:
    """What a step that writes into the job's folder alone differs in."""
    folders: dict[str, Any] = {
        "saved_checkpoints_path": [str(job.folder)],
        "saved_checkpoints_filename": ["best_{epoch:02d}"],
        "tensorboard_lr_monitors_logs_path": None,
        "loggers": [],
    }
    saving: SavingDataParams = job.step.saving_data_params.model_copy(update=folders)
    return {"saving_data_params": saving}


def _predictions(model: Classifier, dataset: ClipDataset | None, clips: Sequence[int]) -> PartPredictions:
    if dataset is None:
        return NOTHING
    predictions = evaluate(model, dataset)
    known = np.array(clips, np.int64)[predictions.clips]
    return PartPredictions(known, predictions.windows, predictions.logits, weights=predictions.weights)
