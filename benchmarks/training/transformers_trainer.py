"""Epochs of ours, cached and uncached, against transformers' Trainer on the same model and windows."""

from __future__ import annotations

import copy
import itertools
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import default_collate

from benchmarks.training.corpus import batches, read_images, untrained
from benchmarks.training.loop import WINDOW_SEC
from benchmarks.training.timing import medians, trained
from training.data.waveforms.dataset import NO_LABEL, WindowDataset
from training.models.base import Classifier

_BATCH, _EPOCHS = 32, 3


class Whole(nn.Module):
    """A classifier as transformers' Trainer takes one: it answers its own loss."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, waveform: Tensor, length: Tensor, **truth: Tensor) -> dict[str, Tensor]:
        """The sum of the targets' cross-entropies over a batch of waveforms (batch, samples)."""
        logits = self.model(waveform, length)
        losses = [cross_entropy(logits[target], truth[target], ignore_index=NO_LABEL) for target in logits]
        return {"loss": torch.stack(losses).sum()}


def compare_trainer(data: Path, clips: int, rounds: int, backbone: str = "efficientnet_b0") -> list[str]:
    """Lines that compare the three; a line that says why where transformers' Trainer lacks accelerate.

    Args:
        data: the dataset.
        clips: how many of its clips.
        rounds: how often each is measured.
        backbone: the image network on spectrograms.
    """
    if find_spec("accelerate") is None:
        return ["transformers' Trainer: not run: accelerate is not installed; pip install accelerate"]
    images = read_images(data, clips, WINDOW_SEC, backbone)
    model, windows, features = images.model, images.windows, images.features
    seconds = medians(
        {
            "cached": lambda: trained(untrained(model, windows), batches(features, _BATCH), _EPOCHS)[1:],
            "uncached": lambda: trained(untrained(model, windows), batches(windows, _BATCH), _EPOCHS)[1:],
            "trainer": lambda: _trainer(model, windows),
        },
        rounds,
    )
    return [
        f"epochs: {backbone}, {len(windows)} windows of {WINDOW_SEC:g} s, batches of {_BATCH}",
        f"  ours, from the cache        {seconds['cached']:9.3f} s",
        f"  ours, features each epoch   {seconds['uncached']:9.3f} s",
        f"  transformers' Trainer       {seconds['trainer']:9.3f} s",
        f"  Trainer / ours, cached      {seconds['trainer'] / seconds['cached']:9.2f}",
        f"  Trainer / ours, uncached    {seconds['trainer'] / seconds['uncached']:9.2f}",
    ]


def _collated(items: list[Any]) -> dict[str, Any]:
    waveform, length, truth, *_ = default_collate(items)
    return {"waveform": waveform, "length": length, **truth}


def _trainer(model: Classifier, windows: WindowDataset) -> list[float]:
    """Seconds of each epoch but the first, with the Trainer's defaults but for what reports, saves and evaluates."""
    from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

    stamps: list[float] = []

    class Clock(TrainerCallback):
        """Notes when each epoch ends."""

        def on_epoch_end(self, *_: Any, **__: Any) -> None:
            stamps.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=_BATCH,
            dataloader_drop_last=len(windows) % _BATCH == 1,
            num_train_epochs=_EPOCHS,
            learning_rate=1e-3,
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            remove_unused_columns=False,
        )
        fresh: Any = Whole(copy.deepcopy(model).train())
        trainer = Trainer(fresh, arguments, data_collator=_collated, train_dataset=windows, callbacks=[Clock()])
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return [end - begin for begin, end in itertools.pairwise(stamps)]
