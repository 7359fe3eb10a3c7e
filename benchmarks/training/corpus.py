"""Data to measure on: clips of noise, or some of a dataset."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch.utils.data import DataLoader

from emotions.audio.decode import SAMPLE_RATE
from emotions.audio.windows import WindowSpec
from training.config.dataset import DatasetConfig
from training.config.learning import LearnParams
from training.config.train import ModelSpec
from training.data.clips import read_clips
from training.data.waveforms.dataset import WindowDataset
from training.data.waveforms.usable import usable
from training.data.waveforms.waveform_cache import WaveformCache
from training.features.feature_cache import FeatureCache
from training.features.feature_dataset import ClipDataset, FeatureDataset
from training.loop.module import ClassifierModule
from training.models.base import Classifier
from training.models.classifiers.cnn import CnnHead
from training.models.frontends.spectrogram import Spectrogram

IMAGE_SIZE = 128
LABELS = ("anger", "happiness", "neutral", "sadness")


def synthesise(folder: Path, clips: int, sec: float) -> Path:
    """Write clips of noise, no two alike, and their annotations; returns the folder.

    Args:
        folder: is made.
        clips: how many.
        sec: seconds of each.
    """
    random = np.random.default_rng(0)
    folder.mkdir(parents=True)
    rows = {f"{clip}.wav": {"emotion": LABELS[clip % len(LABELS)]} for clip in range(clips)}
    for name in rows:
        soundfile.write(folder / name, random.normal(0, 0.1, round(sec * SAMPLE_RATE)), SAMPLE_RATE)
    (folder / "annotations.json").write_text(json.dumps(rows))
    return folder


def read_windows(data: Path, clips: int, sec: float) -> WindowDataset:
    """Windows of clips that lie evenly in a dataset: the first ones could be all of one class.

    Args:
        data: the dataset.
        clips: how many of its clips.
        sec: seconds of a window.
    """
    table = read_clips(DatasetConfig(path=str(data)), data)
    count = min(clips, len(table))
    chosen = table.select([at * len(table) // count for at in range(count)])
    cache = WaveformCache()
    table, facts = usable(chosen, cache.prepare(chosen.clips))
    spec = WindowSpec(round(sec * SAMPLE_RATE), round(sec * SAMPLE_RATE))
    return WindowDataset(table.clips, facts, cache, spec, {each: table.labels(each) for each in table.targets})


@dataclass(frozen=True)
class Images:
    """Windows, the model that is to learn from their spectrograms, and those from a filled feature cache."""

    windows: WindowDataset
    model: Classifier
    features: FeatureDataset


def read_images(data: Path, clips: int, sec: float, backbone: str) -> Images:
    """Clips of a dataset as images of ``IMAGE_SIZE`` squared, and an untrained image network for them.

    Args:
        data: the dataset.
        clips: how many of its clips.
        sec: seconds of a window.
        backbone: the image network.
    """
    windows = read_windows(data, clips, sec)
    torch.manual_seed(0)
    frontend = Spectrogram(windows.spec.samples, IMAGE_SIZE, "mel")
    model = Classifier(frontend, CnnHead(backbone, (IMAGE_SIZE, IMAGE_SIZE), classes(windows), 0.2))
    cache = FeatureCache(frontend, windows.spec, lambda: frontend)
    cache.prepare(windows, frontend)
    return Images(windows, model, FeatureDataset(windows, cache))


def untrained(model: Classifier, windows: WindowDataset, seed: int = 0) -> ClassifierModule:
    """A module that trains a copy of the model's head; what it starts from does not depend on earlier runs.

    Args:
        model: the classifier, which stays as it is.
        windows: have the targets.
        seed: of the training.
    """
    targets = {target: [str(number) for number in range(count)] for target, count in classes(windows).items()}
    # Only a checkpoint would need to know how the model was built, and none is written.
    spec = ModelSpec(
        model="SpectrogramCnnClassifier", architecture={}, window_samples=1, spectrogram_size=1, targets=targets
    )
    weights = {target: torch.ones(len(labels)) for target, labels in targets.items()}
    fresh = Classifier(model.frontend, copy.deepcopy(model.head))
    return ClassifierModule(fresh, spec, LearnParams(), weights, seed)


def classes(windows: WindowDataset) -> dict[str, int]:
    """How many classes each target has."""
    return {target: int(windows.classes(target).max()) + 1 for target in windows.targets}


def batches(data: ClipDataset, size: int) -> DataLoader[Any]:
    """Batches in order; a last batch of one window, from which batch norm cannot learn, is left out.

    Args:
        data: windows or features.
        size: of a batch.
    """
    return DataLoader(data, size, drop_last=len(data) % size == 1)
