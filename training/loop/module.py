"""The Lightning module: losses, clip-level metrics, optimiser and schedule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, distributed

from emotions.errors import ConfigError
from training.config.architectures import SPECTROGRAM_MODELS
from training.config.learning import FeatureAugmentation, LearnParams
from training.config.train import ModelSpec
from training.data.waveforms.dataset import shares_key
from training.features.extract import computing_in, precision_of, without_tf32
from training.features.feature_dataset import FeatureItem
from training.features.teacher.taught import TaughtItem, separated
from training.loop.dimension_loss import dimension_loss
from training.loop.feature_augmentation import augment, mixed
from training.loop.loaders import derived_seed
from training.loop.losses import (
    Distillation,
    Objective,
    distillation_loss,
    loss_sums,
    mean_loss,
    total_loss,
)
from training.loop.optimisers import build_optimiser
from training.loop.score import Batch, ClipPooler, features_of, score_predictions
from training.loop.value_scores import outputs_of, score_dimensions
from training.loop.waveform_augmentation import WaveformAugmenter
from training.metrics.classification import Scores
from training.models.base import Classifier, Logits, is_frozen
from training.models.frontends.gradient_checkpointing import checkpoint_gradients
from training.run_folder.frozen_encoder import encoder_hash, without_encoder
from training.run_folder.layout import CHECKPOINT_FORMAT, CHECKPOINT_KEY, ENCODER_KEY

_LOGGED = {"uar", "wa", "macro_f1", "ccc"}


class ClassifierModule(lightning.LightningModule):
    """Trains a classifier.

    Logs ``train/loss``, ``val/loss`` and for each target ``val/<target>_uar``, ``_wa`` and ``_macro_f1`` over clips, or
    ``val/<target>_ccc`` of a target of dimensions.

    Args:
        model: the classifier.
        spec: how it was built, with its encoder pinned; goes into every checkpoint.
        learn: learning rates, loss, augmentation and schedule.
        weights: target -> (classes,) float32, weight of each class in the loss.
        seed: with the step's number it seeds dropout and augmentation, so that resuming does not change the result.
        waveforms: augmentation of training windows that come as samples.
        mean_shares: target -> mean share of a training window in its clip; None where windows are drawn by their shares
            already, so that each that is drawn counts alike.
        distillation: how the teacher's answers count, where batches have them.

    Attributes:
        scores: target -> scores of the last validation; the same in every process of a distributed run.
    """

    def __init__(
        self,
        model: Classifier,
        spec: ModelSpec,
        learn: LearnParams,
        weights: Mapping[str, Tensor],
        seed: int,
        waveforms: WaveformAugmenter | None = None,
        mean_shares: Mapping[str, float] | None = None,
        distillation: Distillation | None = None,
    ) -> None:
        super().__init__()
        self.model, self.spec, self.learn, self.seed = model, spec, learn, seed
        self.objective = objective(learn)
        for index, target in enumerate(spec.labels):
            self.register_buffer(f"weight_{index}", weights[target], persistent=False)
        self.scores: dict[str, Scores] = {}
        if learn.gradient_checkpointing:
            checkpoint_gradients(model)
        self._encoder = encoder_hash(model)
        self._features = feature_augmentation(learn, spec)
        self._waveforms, self._mean_shares, self._distillation = waveforms, mean_shares, distillation
        self._pooler = ClipPooler()
        self._sums: list[Tensor] = []
        self._random = torch.Generator()

    @property
    def class_weights(self) -> dict[str, Tensor]:
        """Weights of the classes: target -> (classes,) float32, on the module's device."""
        return {target: self.get_buffer(f"weight_{index}") for index, target in enumerate(self.spec.labels)}

    def forward(self, waveform: Tensor, length: Tensor) -> Logits:
        """(batch, W) float32 and (batch,) int64 in; target -> (batch, classes) logits out."""
        logits: Logits = self.model(waveform, length)
        return logits

    def on_train_batch_start(self, *_: Any) -> None:
        """Seed the random numbers of the step, differently in each process, and of dropout and augmentation apart."""
        trainer = self.trainer
        number = self.global_step * trainer.world_size + trainer.global_rank
        torch.manual_seed(derived_seed(self.seed, "dropout", number))
        self._random.manual_seed(derived_seed(self.seed, "augmentation", number))

    def training_step(self, taught: Batch | TaughtItem) -> Tensor:
        """The loss of a batch. Raises ConfigError where it is not a finite number."""
        batch, answers = separated(taught)
        truth, shares, learn = self._learnt(batch[2]), batch[4], self.learn.augmentation
        features, frames = self._features_of(self._augmented(batch))
        features = augment(features, frames, self._random, self._features)
        self.model.head.observe(features)
        if learn.mixup_alpha > 0:
            features, frames, other, share = mixed(features, frames, learn.mixup_alpha, self._random)
            logits = self.model.head(features, frames)
            swapped, others = ({target: rows[other] for target, rows in each.items()} for each in (truth, answers))
            one, two = self._loss(logits, truth, shares, answers), self._loss(logits, swapped, shares[other], others)
            loss = share * one + (1 - share) * two
        else:
            loss = self._loss(self.model.head(features, frames), truth, shares, answers)
        self._check_finite(loss, f"step {self.global_step}")
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=len(features), sync_dist=True)
        return loss

    def validation_step(self, batch: Batch) -> None:
        """Collect the logits and losses of a batch."""
        features, frames = self._features_of(batch)
        logits = self.model.head(features, frames)
        truth = self._learnt(batch[2])
        self._sums.append(loss_sums(self._labelled(logits), truth, self.class_weights, self.objective, batch[4]))
        self._pooler.add(batch, logits)

    def on_validation_epoch_end(self) -> None:
        """Pool the windows of all processes into clips, and log the loss and the metrics."""
        sums = torch.stack(self._sums).sum(dim=0)
        if distributed.is_initialized():
            distributed.all_reduce(sums)
        _gather(self._pooler)
        pooled = self._pooler.pooled()
        loss = mean_loss(sums, self.spec.labels, self.objective)
        loss = loss + self._dimension_losses(*outputs_of(pooled, self.spec, loss.device))
        self._check_finite(loss, "validation")
        self.log("val/loss", loss, sync_dist=True)
        self.scores = {**score_predictions(pooled, self.spec.labels), **score_dimensions(pooled, self.spec)}
        for target, scores in self.scores.items():
            for name in _LOGGED & scores.keys():
                self.log(f"val/{target}_{name}", scores[name], sync_dist=True)
        self._pooler, self._sums = ClipPooler(), []

    def _augmented(self, batch: Batch) -> Batch:
        """The batch with its samples augmented; cached features are left as they are."""
        if self._waveforms is None or isinstance(batch, FeatureItem):
            return batch
        waveform, length, truth, clips, shares = batch
        return (*self._waveforms(waveform, length, self._random), truth, clips, shares)

    def _features_of(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Features and valid frames. A frozen frontend runs in the precision of the feature cache."""
        if not isinstance(batch, FeatureItem) and not is_frozen(self.model.frontend):
            return features_of(self.model, batch)
        precision = precision_of(self.model.frontend, self.learn.precision, self.device)
        with computing_in(precision, self.device), without_tf32(self.device):
            features, frames = features_of(self.model, batch)
        return features.float(), frames

    def _loss(
        self, logits: Logits, truth: Mapping[str, Tensor], shares: Tensor, answers: Mapping[str, Tensor]
    ) -> Tensor:
        known, teacher = None if self._mean_shares is None else shares, self._distillation
        labelled = self._labelled(logits)
        loss = total_loss(labelled, truth, self.class_weights, self.objective, known, self._mean_shares)
        if teacher is not None:
            taught = distillation_loss(labelled, answers, teacher, self.objective, known)
            loss = (1 - teacher.weight) * loss + teacher.weight * taught
        return loss.to(shares.device) + self._dimension_losses(logits, truth, known)

    def _learnt(self, truth: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """What is learnt of the truth: without the shares of raters where the majority's label alone counts."""
        known = {*self.spec.targets, *(map(shares_key, self.spec.labels) if self.learn.soft_labels else ())}
        return {key: each for key, each in truth.items() if key in known}

    def _labelled(self, logits: Logits) -> Logits:
        return {target: logits[target] for target in self.spec.labels}

    def _dimension_losses(self, values: Logits, truth: Mapping[str, Tensor], shares: Tensor | None = None) -> Tensor:
        """Weighted sum over the targets of dimensions."""
        loss = torch.zeros((), device=self.device)
        for target in self.spec.ranges:
            weight = self.objective.target_weights.get(target, 1.0)
            loss = loss + weight * dimension_loss(values[target], truth[target], shares, self.learn.dimension_loss)
        return loss

    def _check_finite(self, loss: Tensor, where: str) -> None:
        if not torch.isfinite(loss):
            rate = self.trainer.optimizers[0].param_groups[0]["lr"]
            raise ConfigError(
                f"training diverged: the loss is {loss.item()} at epoch {self.current_epoch}, {where}, with learning "
                f"rate {rate:.2g}; lower learn_params.lr.base_lr (now {self.learn.lr.base_lr:g}); "
                "checkpoints of earlier epochs are kept"
            )

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW and its schedule, which is stepped after every batch."""
        optimiser, schedule = build_optimiser(self.model, self.learn, int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the model's description as JSON text, not as a pickled object. Leave a frozen encoder's weights out."""
        entry = {"format": CHECKPOINT_FORMAT, "spec": self.spec.model_dump_json()}
        checkpoint[CHECKPOINT_KEY] = entry if self._encoder is None else {**entry, ENCODER_KEY: self._encoder}
        checkpoint["state_dict"] = without_encoder(checkpoint["state_dict"], self.model, "model.")

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Fill in the weights of the frozen encoder, which the checkpoint does not have."""
        checkpoint["state_dict"] = {**self.state_dict(), **checkpoint["state_dict"]}


def objective(learn: LearnParams) -> Objective:
    """The objective of a config."""
    gamma = learn.focal_gamma if learn.loss == "focal" else 0.0
    return Objective(gamma, learn.label_smoothing, learn.target_weights)


def feature_augmentation(learn: LearnParams, spec: ModelSpec) -> FeatureAugmentation:
    """Settings of the feature augmentation that suit the model.

    Args:
        learn: the settings of the config.
        spec: the model. Dimensions of an encoder have no order, so they are not shifted; functionals have no frames
            either, so they are not masked.
    """
    settings = learn.augmentation.features
    if spec.model == "FunctionalsClassifier":
        return settings.model_copy(update={"probability": 0.0})
    return settings if spec.model in SPECTROGRAM_MODELS else settings.model_copy(update={"shift_share": 0.0})


def _gather(pooler: ClipPooler) -> None:
    """Add the batches that the other processes of a distributed run have collected."""
    if distributed.is_initialized() and distributed.get_world_size() > 1:
        every: list[Any] = [None] * distributed.get_world_size()
        distributed.all_gather_object(every, pooler.batches)
        pooler.batches = [batch for batches in every for batch in batches]
