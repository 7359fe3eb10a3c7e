"""Callbacks of a run: progress bar, history of the metrics, and images for TensorBoard."""

from __future__ import annotations

from typing import Any, cast

import lightning
import torch
from lightning.fabric.utilities.apply_func import move_data_to_device
from lightning.pytorch.callbacks import Callback
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from torch import Tensor
from torch.utils.data import default_collate

from emotions.pipeline.runner import console
from training.features.teacher.taught import separated
from training.loop.module import ClassifierModule
from training.loop.score import features_of
from training.metrics.plots import confusion_image

_SHOWN = 4  # windows


class Bar(Callback):
    """One bar on stderr over all batches of all epochs, with the last loss and the validation metric."""

    def __init__(self, metric: str, quiet: bool) -> None:
        self.metric = metric
        text = TextColumn("{task.description}")
        columns = (text, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}"))
        self.progress = Progress(*columns, console=console(), disable=quiet)
        self.task: TaskID | None = None
        self._score = ""

    def on_train_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Start the bar, at the current step where the run is resumed."""
        total, done = int(trainer.estimated_stepping_batches), trainer.global_step
        self.task = self.progress.add_task("epoch", total=total, completed=done, note="")
        self.progress.start()

    def on_train_batch_end(self, trainer: lightning.Trainer, _: Any, outputs: Any, *__: Any) -> None:
        """Advance by one batch."""
        self._update(trainer, f"loss {float(outputs['loss']):.3f}{self._score}", advance=1)

    def on_validation_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Update the validation metric."""
        if self.metric in trainer.callback_metrics:
            self._score = f"  {self.metric} {float(trainer.callback_metrics[self.metric]):.3f}"

    def on_train_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Stop at the finished bar."""
        self._update(trainer, self._score.strip())
        self.progress.stop()

    def on_exception(self, *_: Any) -> None:
        """Stop the bar."""
        self.progress.stop()

    def _update(self, trainer: lightning.Trainer, note: str, advance: int = 0) -> None:
        if self.task is not None:
            epoch = min(trainer.current_epoch + 1, trainer.max_epochs or 0)
            description = f"epoch {epoch}/{trainer.max_epochs}"
            self.progress.update(self.task, description=description, advance=advance, note=note)


class History(Callback):
    """Every logged metric after each epoch, saved in checkpoints so that a resumed run keeps it.

    Attributes:
        metrics: name -> value after each epoch; None where it was not measured.
    """

    def __init__(self) -> None:
        self.metrics: dict[str, list[float | None]] = {}

    def on_train_epoch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Append the epoch's metrics."""
        logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
        for name in {*self.metrics, *logged}:
            values = self.metrics.setdefault(name, [])
            values += [None] * (trainer.current_epoch - len(values))
            values.append(logged.get(name))

    def state_dict(self) -> dict[str, Any]:
        """The history so far."""
        return {"metrics": {name: list(values) for name, values in self.metrics.items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a checkpoint's history."""
        self.metrics = {name: list(values) for name, values in state_dict["metrics"].items()}


class TensorBoardImages(Callback):
    """Writes features of a few training windows once, and each target's confusion matrix after each validation."""

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write the features of the first windows, before augmentation."""
        loader: Any = trainer.train_dataloader
        module, data = cast(ClassifierModule, pl_module), loader.dataset
        batch, _ = separated(default_collate([data[item] for item in range(min(_SHOWN, len(data)))]))
        with torch.no_grad():
            features, _ = features_of(module.model, move_data_to_device(batch, module.device))
        for number, image in enumerate(_feature_images(features)):
            self._show(trainer, f"features/{number}", image, "HW")

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write the confusion matrices."""
        for target, scores in cast(ClassifierModule, pl_module).scores.items():
            if "confusion" not in scores:
                continue
            self._show(trainer, f"confusion/{target}", confusion_image(target, scores), "HWC")

    def _show(self, trainer: lightning.Trainer, name: str, image: Any, axes: str) -> None:
        logger: Any = trainer.logger
        logger.experiment.add_image(name, image, trainer.current_epoch, dataformats=axes)


def _feature_images(features: Tensor) -> Tensor:
    """Features (batch, [layers,] bins, frames) as grey images (batch, bins, frames), 0 to 1, low bins at the bottom.

    Of an encoder's layers, the last one.
    """
    images = (features if features.ndim == 3 else features[:, -1]).float().cpu().flip(1)
    low, high = images.amin(dim=(1, 2), keepdim=True), images.amax(dim=(1, 2), keepdim=True)
    return (images - low) / (high - low).clamp_min(1e-9)
