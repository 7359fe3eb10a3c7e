"""Fine-tuning a whole encoder: seconds and memory in fp32 and bf16, with gradient checkpointing, and compiled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.training.corpus import batches, classes, read_windows, untrained
from benchmarks.training.peak import forget_peak, peak_mb
from benchmarks.training.timing import trained
from serving.benchmark.driver.interleaved import interleaved
from training.data.waveforms.dataset import WindowDataset
from training.models.base import Classifier
from training.models.classifiers.wav2vec2 import FnHead
from training.models.frontends.encoders import blank_encoder
from training.models.frontends.gradient_checkpointing import checkpoint_gradients
from training.models.frontends.wav2vec2 import Wav2Vec2Frontend

WINDOW_SEC = 3.0
_BATCH, _EPOCHS = 4, 2


@dataclass(frozen=True)
class Way:
    """How an encoder is fine-tuned.

    Attributes:
        precision: as Lightning names it.
        checkpointing: of gradients.
        compiled: by ``torch.compile``.
    """

    precision: str = "32-true"
    checkpointing: bool = False
    compiled: bool = False


WAYS = {
    "fp32": Way(),
    "bf16": Way("bf16-mixed"),
    "fp32, gradient checkpointing": Way(checkpointing=True),
    "fp32, torch.compile": Way(compiled=True),
}


def compare_fine_tuning(data: Path, clips: int, rounds: int, config: Mapping[str, Any] | None = None) -> list[str]:
    """Lines with each way's seconds of an epoch after the first and peak memory, each in a process of its own.

    Args:
        data: the dataset.
        clips: how many of its clips.
        rounds: how often each way is measured.
        config: of the wav2vec2 encoder, where it differs from the base size.
    """
    settings = (data, clips, dict(config or {}), torch.get_num_threads())
    ways = {name: partial(_apart, way, *settings) for name, way in WAYS.items()}
    measured = interleaved(ways, rounds, warm_up=False)
    seconds = {name: median(run[0] for run in runs) for name, runs in measured.items()}
    memory = {name: median(run[1] for run in runs) for name, runs in measured.items()}
    head = f"fine-tuning a wav2vec2 encoder: {clips} clips, windows of {WINDOW_SEC:g} s, batches of {_BATCH}"
    rows = [
        f"  {name:30s} {seconds[name]:9.3f} s an epoch, of fp32 {seconds[name] / seconds['fp32']:6.3f}, "
        f"peak {memory[name]:8.0f} MB"
        for name in WAYS
    ]
    return [head, *rows]


def _apart(way: Way, *settings: Any) -> tuple[float, float]:
    """What ``_measured`` says in a new process, whose peak memory is its own."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (way, *settings))


def _measured(way: Way, data: Path, clips: int, config: dict[str, Any], threads: int) -> tuple[float, float]:
    """Seconds of an epoch after the first, and peak memory in MB."""
    torch.set_num_threads(threads)
    windows = read_windows(data, clips, WINDOW_SEC)
    model = _model(windows, config)
    if way.checkpointing:
        checkpoint_gradients(model)
    if way.compiled:
        model.frontend.compile()
    forget_peak()
    epochs = trained(untrained(model, windows), batches(windows, _BATCH), _EPOCHS, precision=way.precision)
    return median(epochs[1:]), peak_mb()


def _model(windows: WindowDataset, config: dict[str, Any]) -> Classifier:
    torch.manual_seed(0)
    encoder = blank_encoder({"normalize": True, "config": {"model_type": "wav2vec2", **config}})
    model: Any = encoder.model
    depth = model.config.num_hidden_layers
    frontend = Wav2Vec2Frontend(encoder, windows.spec.samples, depth, freeze=False)
    dims, frames = frontend.shape
    return Classifier(frontend, FnHead((dims, frames), (1, 1), (128, 128), classes(windows)))
