"""Timing of trainings: the seconds of epochs, as medians over interleaved rounds."""

from __future__ import annotations

import itertools
import logging
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader

from serving.benchmark.driver.interleaved import interleaved

Candidate = Callable[[], list[float]]
"""Runs something a few times; the seconds that each time took."""


class Clock(Callback):
    """When training began and when each of its epochs ended, in seconds."""

    def __init__(self) -> None:
        self.stamps: list[float] = []

    def on_train_start(self, *_: Any) -> None:
        """Note the time."""
        self.stamps.append(time.perf_counter())

    def on_train_epoch_end(self, *_: Any) -> None:
        """Note the time."""
        self.stamps.append(time.perf_counter())


def trained(
    module: lightning.LightningModule,
    loader: DataLoader[Any],
    epochs: int,
    callbacks: Sequence[Callback] = (),
    **options: Any,
) -> list[float]:
    """Train through Lightning on the CPU.

    Args:
        module: what to train.
        loader: its batches.
        epochs: how many.
        callbacks: of the trainer.
        **options: of the trainer.

    Returns:
        Seconds of each epoch.
    """
    clock = Clock()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice of Lightning's, such as to load with more workers
        trainer = lightning.Trainer(
            accelerator="cpu",
            devices=1,
            max_epochs=epochs,
            callbacks=[*callbacks, clock],
            **{"logger": False, **quiet, **options},
        )
        trainer.fit(module, loader)
    return [end - begin for begin, end in itertools.pairwise(clock.stamps)]


def medians(candidates: Mapping[str, Candidate], rounds: int) -> dict[str, float]:
    """Median seconds of each candidate.

    Args:
        candidates: name -> what runs it.
        rounds: how often each is run, in turn.
    """
    seconds = interleaved(candidates, rounds, warm_up=False)
    return {name: median(itertools.chain(*runs)) for name, runs in seconds.items()}
