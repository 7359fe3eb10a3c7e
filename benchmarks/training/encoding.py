"""An epoch from the feature cache against one that runs the encoder again."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from benchmarks.training.corpus import batches, classes, read_windows, untrained
from benchmarks.training.timing import medians, trained
from training.data.waveforms.dataset import WindowDataset
from training.features.feature_cache import FeatureCache
from training.features.feature_dataset import FeatureDataset
from training.models.base import Classifier
from training.models.classifiers.wav2vec2 import FnHead
from training.models.frontends.encoders import blank_encoder
from training.models.frontends.wav2vec2 import Wav2Vec2Frontend

WINDOW_SEC = 5.0
TARGET = 20.0
_BATCH = 16
_LAST_LAYER = 12


def compare_encoding(data: Path, clips: int, rounds: int) -> list[str]:
    """Lines that compare the two, with a randomly initialised encoder of base size and ``Wav2Vec2FnClassifier``'s head.

    Args:
        data: the dataset.
        clips: how many of its clips.
        rounds: how often each is measured.
    """
    windows = read_windows(data, clips, WINDOW_SEC)
    model = _model(windows)
    parameters = sum(each.numel() for each in model.frontend.parameters())
    cache = FeatureCache(model.frontend, windows.spec, lambda: model.frontend)
    began = time.perf_counter()
    cache.prepare(windows, model.frontend)
    filled = time.perf_counter() - began
    features = FeatureDataset(windows, cache)
    seconds = medians(
        {
            "encoded": lambda: trained(untrained(model, windows), batches(windows, _BATCH), 1),
            "cached": lambda: trained(untrained(model, windows), batches(features, _BATCH), 4)[1:],
        },
        rounds,
    )
    ratio = seconds["encoded"] / seconds["cached"]
    return [
        f"feature cache: {len(windows)} windows of {WINDOW_SEC:g} s, frozen {parameters / 1e6:.1f} M encoder",
        f"  filling the cache, once     {filled:9.3f} s",
        f"  an epoch that encodes again {seconds['encoded']:9.3f} s",
        f"  an epoch from the cache     {seconds['cached']:9.3f} s",
        f"  ratio                       {ratio:9.1f}   (wanted: at least {TARGET:g})",
    ]


def _model(windows: WindowDataset) -> Classifier:
    torch.manual_seed(0)
    encoder = blank_encoder({"normalize": True, "config": {"model_type": "wav2vec2"}})
    frontend = Wav2Vec2Frontend(encoder, windows.spec.samples, _LAST_LAYER)
    dims, frames = frontend.shape
    return Classifier(frontend, FnHead((dims, frames), (1, 1), (128, 128), classes(windows)))
