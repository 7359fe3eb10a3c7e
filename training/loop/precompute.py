"""Compute once, before the first epoch, what stays the same: the features of a run's data, a teacher's answers."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from functools import partial
from typing import Literal

import torch

from training.config.train import ModelSpec, TrainStep
from training.corpus import Corpus
from training.data.waveforms.dataset import WindowDataset
from training.features.extract import precision_of
from training.features.feature_dataset import ClipDataset, FeatureDataset
from training.features.joined_cache import cache_of
from training.features.teacher.answers import answers_of
from training.models.base import Classifier, Frontend, is_frozen
from training.models.registry import build_model

_LOG = logging.getLogger(__name__)


def precomputed(corpus: Corpus, step: TrainStep, model: Classifier | None = None) -> Corpus:
    """Replace samples by features, in every part whose features stay the same.

    Args:
        corpus: the data of the run, as samples.
        step: whether features may be kept, whether the waveforms are augmented, and the accelerator.
        model: of the corpus's spec; built where none is given.
    """
    corpus = taught(corpus, step)
    if model is None:
        with torch.random.fork_rng(devices=[]):
            model = build_model(corpus.spec)
    if not step.learn_params.cache_features:
        _LOG.warning("features are computed anew in every epoch: learn_params.cache_features is false")
        return corpus
    if not is_frozen(model.frontend):
        _LOG.warning("features are computed anew in every epoch: the encoder trains")
        return corpus
    augmented = step.learn_params.augments_waveform
    if augmented:
        _LOG.warning("training features are computed anew in every epoch: the waveform augmentation is on")
    frontend, devices = model.frontend, devices_of(step.accelerator)
    precision = precision_of(frontend, step.learn_params.precision, devices[0])
    # Not the registry's pinned spec: the encoder's own weights are needed again.
    cache = cache_of(frontend, corpus.train.spec, partial(_frontend, corpus.spec), precision=precision)

    def features(part: ClipDataset) -> ClipDataset:
        if isinstance(part, FeatureDataset):
            return part
        cache.prepare(part, frontend, devices)
        return FeatureDataset(part, cache)

    train = corpus.train if augmented else features(corpus.train)
    return replace(
        corpus, train=train, val=corpus.val and features(corpus.val), test=corpus.test and features(corpus.test)
    )


def taught(corpus: Corpus, step: TrainStep) -> Corpus:
    """The corpus with its teacher's answers to the training windows, where something teaches.

    Args:
        corpus: the data of the run.
        step: the accelerator.
    """
    if corpus.teacher is None:
        return corpus
    windows = corpus.train if isinstance(corpus.train, WindowDataset) else corpus.train.windows
    device: Literal["auto", "cpu"] = "cpu" if step.accelerator == "cpu" else "auto"
    return replace(corpus, answers=answers_of(corpus.teacher, windows, corpus.spec.labels, device))


def _frontend(spec: ModelSpec) -> Frontend:
    return build_model(spec).frontend


def device_of(accelerator: str) -> torch.device:
    """Device of this process: the accelerator that trains, another one in each process of a machine."""
    return devices_of(accelerator)[0]


def devices_of(accelerator: str) -> list[torch.device]:
    """Devices that features are computed on: all GPUs, or that of this process where several train on a machine."""
    if accelerator != "cpu" and torch.cuda.is_available():
        count, rank = torch.cuda.device_count(), os.environ.get("LOCAL_RANK")
        numbers = range(count) if rank is None else [int(rank) % count]
        return [torch.device("cuda", number) for number in numbers]
    if accelerator in ("auto", "mps") and torch.backends.mps.is_available():
        return [torch.device("mps")]
    return [torch.device("cpu")]
