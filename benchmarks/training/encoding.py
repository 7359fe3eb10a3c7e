"""An epoch from the feature cache against one that runs the encoder again."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

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
FILLING = 0.9
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
    cache.prepare(windows, model.frontend)
    features = FeatureDataset(windows, cache)
    seconds = medians(
        {
            "filled": lambda: [_filled(model, windows)],
            "bare": lambda: [_bare(model, windows)],
            "encoded": lambda: trained(untrained(model, windows), batches(windows, _BATCH), 1),
            "cached": lambda: trained(untrained(model, windows), batches(features, _BATCH), 4)[1:],
        },
        rounds,
    )
    ratio = seconds["encoded"] / seconds["cached"]
    return [
        f"feature cache: {len(windows)} windows of {WINDOW_SEC:g} s, frozen {parameters / 1e6:.1f} M encoder",
        f"  filling the cache, once     {seconds['filled']:9.3f} s",
        f"  the encoder by itself       {seconds['bare']:9.3f} s",
        f"  encoder / filling           {seconds['bare'] / seconds['filled']:9.3f}   (wanted: at least {FILLING:g})",
        f"  an epoch that encodes again {seconds['encoded']:9.3f} s",
        f"  an epoch from the cache     {seconds['cached']:9.3f} s",
        f"  ratio                       {ratio:9.1f}   (wanted: at least {TARGET:g})",
    ]


def _filled(model: Classifier, windows: WindowDataset) -> float:
    """Seconds of filling an empty cache, in which samples are read, and features stored."""
    with tempfile.TemporaryDirectory() as folder:
        cache = FeatureCache(model.frontend, windows.spec, lambda: model.frontend, Path(folder) / "features")
        began = time.perf_counter()
        cache.prepare(windows, model.frontend)
        return time.perf_counter() - began


def _bare(model: Classifier, windows: WindowDataset) -> float:
    """Seconds of the encoder alone, on samples in memory, the windows in the order of their length."""
    samples = sorted((windows[item][:2] for item in range(len(windows))), key=lambda each: int(each[1]))
    encoder: Any = model.frontend.eval()
    began = time.perf_counter()
    with torch.no_grad():
        for waveform, length in samples:
            encoder(waveform[None, : int(length)], torch.tensor([int(length)]))
    return time.perf_counter() - began


def _model(windows: WindowDataset) -> Classifier:
    torch.manual_seed(0)
    encoder = blank_encoder({"normalize": True, "config": {"model_type": "wav2vec2"}})
    frontend = Wav2Vec2Frontend(encoder, windows.spec.samples, _LAST_LAYER)
    dims, frames = frontend.shape
    return Classifier(frontend, FnHead((dims, frames), (1, 1), (128, 128), classes(windows)))
