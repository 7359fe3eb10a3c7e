"""The Lightning module: losses, clip-level metrics, optimiser and schedule."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from emotions.errors import ConfigError
from training.config import LearnParams, ModelSpec
from training.loop.augment import augment
from training.loop.losses import total_loss
from training.loop.score import Batch, ClipPooler, features_of, score_answers
from training.models.base import Classifier, Logits

CHECKPOINT_KEY = "emotions"
CHECKPOINT_FORMAT = 1

_WEIGHT_DECAY = 0.01
_WARM_UP = 0.05
_GOLDEN = 0x9E3779B9


class ClassifierModule(lightning.LightningModule):
    """Trains a classifier.

    Logs ``train/loss``, ``val/loss`` and for each target ``val/<target>_uar``, ``_wa`` and ``_macro_f1`` over clips.

    Args:
        model: what trains.
        spec: how it was built; goes into every checkpoint.
        learn: learning rate and epochs.
        weights: target -> (classes,) float32, how much an error in each class counts.
        seed: with the step it seeds dropout and masks, so that a resumed run goes on as an unbroken one would.
    """

    def __init__(
        self, model: Classifier, spec: ModelSpec, learn: LearnParams, weights: Mapping[str, Tensor], seed: int
    ) -> None:
        super().__init__()
        self.model, self.spec, self.learn, self.seed = model, spec, learn, seed
        for index, target in enumerate(spec.targets):
            self.register_buffer(f"weight_{index}", weights[target], persistent=False)
        self._pooler = ClipPooler()
        self._random = torch.Generator()

    @property
    def class_weights(self) -> dict[str, Tensor]:
        """Weights of the classes: target -> (classes,) float32, on the module's device."""
        return {target: self.get_buffer(f"weight_{index}") for index, target in enumerate(self.spec.targets)}

    def forward(self, waveform: Tensor, length: Tensor) -> Logits:
        """(batch, W) float32 and (batch,) int64 in; target -> (batch, classes) logits out."""
        logits: Logits = self.model(waveform, length)
        return logits

    def on_train_batch_start(self, *_: Any) -> None:
        """Start the step's own streams of random numbers."""
        seed = derived_seed(self.seed, self.global_step)
        torch.manual_seed(seed)
        self._random.manual_seed(seed)

    def training_step(self, batch: Batch) -> Tensor:
        """The loss of a batch.

        Raises:
            ConfigError: it is not a finite number.
        """
        truth = batch[2]
        features, frames = features_of(self.model, batch)
        logits = self.model.head(augment(features, frames, self._random), frames)
        loss = total_loss(logits, truth, self.class_weights)
        self._check(loss, f"step {self.global_step}")
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=len(features))
        return loss

    def validation_step(self, batch: Batch) -> None:
        """Keep what the model says of a batch."""
        truth = batch[2]
        features, frames = features_of(self.model, batch)
        logits = self.model.head(features, frames)
        loss = total_loss(logits, truth, self.class_weights)
        self._check(loss, "validation")
        self.log("val/loss", loss, batch_size=len(features))
        self._pooler.add(batch, logits)

    def on_validation_epoch_end(self) -> None:
        """Pool the windows into clips and log how well they are classified."""
        for target, scores in score_answers(self._pooler.answers(), self.spec.targets).items():
            for name in ("uar", "wa", "macro_f1"):
                self.log(f"val/{target}_{name}", scores[name])
        self._pooler = ClipPooler()

    def _check(self, loss: Tensor, where: str) -> None:
        if not torch.isfinite(loss):
            rate = self.trainer.optimizers[0].param_groups[0]["lr"]
            raise ConfigError(
                f"training diverged: the loss is {loss.item()} at epoch {self.current_epoch}, {where}, with learning "
                f"rate {rate:.2g}; lower learn_params.lr.base_lr (now {self.learn.lr.base_lr:g}); "
                "checkpoints of earlier epochs are kept"
            )

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW with a cosine decay after a short linear warm-up."""
        optimiser = AdamW(parameter_groups(self.model), lr=self.learn.lr.base_lr)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = LambdaLR(optimiser, lambda step: learning_rate_factor(step, steps))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add how to build the model, as JSON text: a checkpoint holds no pickled object."""
        checkpoint[CHECKPOINT_KEY] = {"format": CHECKPOINT_FORMAT, "spec": self.spec.model_dump_json()}


def derived_seed(seed: int, number: int) -> int:
    """Seed of the random numbers of a run's epoch or step ``number``: no two of neighbouring seeds are the same."""
    return (seed * _GOLDEN + number) % (1 << 63)


def parameter_groups(model: nn.Module) -> list[dict[str, Any]]:
    """Weights decay; norms and biases, whatever has one dimension, do not."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [each for each in trained if each.ndim > 1], "weight_decay": _WEIGHT_DECAY},
        {"params": [each for each in trained if each.ndim <= 1], "weight_decay": 0.0},
    ]


def learning_rate_factor(step: int, steps: int) -> float:
    """Share of the base learning rate at a step: up in a line over the first steps, then down in a half cosine."""
    warm = max(1, round(_WARM_UP * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, steps - warm))))
