"""The training loop against a bare PyTorch loop that does the same steps over the same tensors."""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW

from benchmarks.training.corpus import IMAGE_SIZE, batches, read_images, untrained
from benchmarks.training.timing import medians, trained
from training.data.waveforms.dataset import NO_LABEL, WindowDataset
from training.features.feature_dataset import FeatureDataset
from training.loop.callbacks import Bar, History
from training.models.base import Classifier, Head

WINDOW_SEC = 5.0
TARGET = 0.9
_BATCH = 32
_CLIP_NORM = 5.0

Tensors = tuple[Tensor, Tensor, dict[str, Tensor]]


def compare_loops(data: Path, clips: int, rounds: int, backbone: str = "efficientnet_b0") -> list[str]:
    """Lines that compare the two on a spectrogram's image network.

    Ours reads the feature cache, augments, logs, schedules and shows a bar; both clip gradients and use AdamW.

    Args:
        data: the dataset.
        clips: how many of its clips.
        rounds: how often each is measured.
        backbone: the image network.
    """
    images = read_images(data, clips, WINDOW_SEC, backbone)
    model, windows, features = images.model, images.windows, images.features
    tensors = [(batch.features, batch.frames, batch.classes) for batch in batches(features, _BATCH)]
    seconds = medians(
        {"ours": lambda: _ours(model, windows, features), "bare": lambda: _bare(model.head, tensors)}, rounds
    )
    return [
        f"training loop: {backbone}, {len(windows)} images of {IMAGE_SIZE} x {IMAGE_SIZE}, batches of {_BATCH}",
        f"  an epoch of ours            {seconds['ours']:9.3f} s",
        f"  an epoch of a bare loop     {seconds['bare']:9.3f} s",
        f"  bare / ours                 {seconds['bare'] / seconds['ours']:9.3f}   (wanted: at least {TARGET:g})",
    ]


def _ours(model: Classifier, windows: WindowDataset, features: FeatureDataset) -> list[float]:
    metric = f"val/{windows.targets[0]}_uar"
    with tempfile.TemporaryDirectory() as logs:
        watchers = [History(), Bar(metric, quiet=False), LearningRateMonitor("step")]
        return trained(
            untrained(model, windows),
            batches(features, _BATCH),
            epochs=3,
            callbacks=watchers,
            logger=TensorBoardLogger(logs),
            gradient_clip_val=_CLIP_NORM,
            log_every_n_steps=10,
        )[1:]


def _bare(head: Head, tensors: Sequence[Tensors]) -> list[float]:
    head = copy.deepcopy(head).train()
    optimiser = AdamW(head.parameters(), lr=1e-3)
    _epoch(head, optimiser, tensors)
    return [_epoch(head, optimiser, tensors) for _ in range(2)]


def _epoch(head: Head, optimiser: AdamW, tensors: Sequence[Tensors]) -> float:
    began = time.perf_counter()
    for features, frames, truth in tensors:
        optimiser.zero_grad()
        logits = head(features, frames)
        losses = [cross_entropy(logits[target], truth[target], ignore_index=NO_LABEL) for target in truth]
        torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
        clip_grad_norm_(head.parameters(), _CLIP_NORM)
        optimiser.step()
    return time.perf_counter() - began
