"""Pictures on TensorBoard: what the model is shown, and the confusion matrices after each epoch."""

from __future__ import annotations

from typing import Any, cast

import lightning
import torch
from lightning.fabric.utilities.apply_func import move_data_to_device
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.utils.data import default_collate

from training.loop.module import ClassifierModule
from training.loop.score import features_of
from training.metrics.plots import confusion_image

_SHOWN = 4


class TensorBoardImages(Callback):
    """Writes features of a few training windows once, and each target's confusion matrix after each validation."""

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Show the features of the first windows, before augmentation."""
        loader: Any = trainer.train_dataloader
        module, data = cast(ClassifierModule, pl_module), loader.dataset
        batch = default_collate([data[item] for item in range(min(_SHOWN, len(data)))])
        with torch.no_grad():
            features, _ = features_of(module.model, move_data_to_device(batch, module.device))
        for number, image in enumerate(feature_images(features)):
            self._show(trainer, f"features/{number}", image, "HW")

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Show the confusion matrices."""
        for target, scores in cast(ClassifierModule, pl_module).scores.items():
            self._show(trainer, f"confusion/{target}", confusion_image(target, scores), "HWC")

    def _show(self, trainer: lightning.Trainer, name: str, image: Any, axes: str) -> None:
        logger: Any = trainer.logger
        logger.experiment.add_image(name, image, trainer.current_epoch, dataformats=axes)


def feature_images(features: Tensor) -> Tensor:
    """Features (batch, [layers,] bins, frames) as grey images (batch, bins, frames) from 0 to 1, low bins below.

    Of an encoder's layers the last one is shown.
    """
    images = (features if features.ndim == 3 else features[:, -1]).float().cpu().flip(1)
    low, high = images.amin(dim=(1, 2), keepdim=True), images.amax(dim=(1, 2), keepdim=True)
    return (images - low) / (high - low).clamp_min(1e-9)
