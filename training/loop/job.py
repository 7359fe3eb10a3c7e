"""A job: one run's training, as a single process does it or each process of a distributed run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, EarlyStopping, LearningRateMonitor
from lightning.pytorch.loggers import TensorBoardLogger

from emotions.errors import DeviceError, first_line
from emotions.pipeline.runner import Context
from training.config.train import SavingDataParams, TrainStep, concatenated, joined
from training.corpus import Corpus
from training.loop.callbacks import Bar, History
from training.loop.lightning_output import interruptible, quiet
from training.loop.loaders import sampling_weights, training_batches, validation_batches
from training.loop.losses import class_weights
from training.loop.module import ClassifierModule
from training.loop.tensorboard import TensorBoardImages
from training.loop.waveform_augmentation import WaveformAugmenter
from training.models.base import Classifier
from training.models.registry import build_model, pinned
from training.run_folder.checkpoints import AtomicCheckpoints, checkpoint_callbacks, mode_of

EVALUATION_BATCH = 32


@dataclass(frozen=True)
class Job:
    """What to train. Picklable, for the processes of a distributed run.

    Attributes:
        step: how.
        context: root, seed and workers.
        corpus: on what.
        folder: the run folder.
        start: checkpoint to go on from.
        metric: validation metric that the best checkpoint is chosen by; by default the UAR of the first target.
        newest: keep the last epoch's checkpoint as the best one, whatever the metric.
    """

    step: TrainStep
    context: Context
    corpus: Corpus
    folder: Path
    start: Path | None
    metric: str | None = None
    newest: bool = False

    @property
    def judged_by(self) -> str:
        """The validation metric that the best checkpoint is chosen by."""
        return metric_of(self.corpus) if self.metric is None else self.metric


@dataclass(frozen=True)
class ProcessContext:
    """One process among those that train together.

    Attributes:
        rank, processes: which of how many it is.
        options: what it takes of ``lightning.Trainer`` to know the others.
    """

    rank: int
    processes: int
    options: Mapping[str, Any]

    @property
    def is_rank_zero(self) -> bool:
        """Whether this is the one process that writes and shows anything."""
        return self.rank == 0


SINGLE = ProcessContext(0, 1, {"devices": 1})


def seeded_model(job: Job) -> Classifier:
    """The job's model with fresh weights, which only its seed decides."""
    lightning.seed_everything(job.context.seed, workers=True, verbose=False)
    return build_model(job.corpus.spec)


def train(job: Job, model: Classifier, place: ProcessContext = SINGLE, watchers: Sequence[Callback] = ()) -> None:
    """Train to the end; what comes of it are the checkpoints and logs in the run folder.

    Args:
        job: what to train.
        model: with the job's fresh weights.
        place: which of how many processes this is.
        watchers: callbacks that run after the checkpoints are written, where they are Lightning's ``Checkpoint``.

    Raises:
        ConfigError: training diverged, or the impulse responses cannot be used.
        CheckpointError: a checkpoint cannot be written.
        DeviceError: the accelerator asked for cannot be used.
    """
    learn, corpus, context = job.step.learn_params, job.corpus, job.context
    balanced = learn.sampling == "balanced"
    weights = sampling_weights(class_weights(job.step, corpus), balanced=balanced)
    waveforms = WaveformAugmenter(learn.augmentation.waveform, context.root) if learn.augments_waveform else None
    module = ClassifierModule(model, pinned(corpus.spec, model), learn, weights, context.seed, waveforms)
    spot = (place.rank, place.processes)
    batches = training_batches(corpus, learn.batch_size, context.seed, context.workers, balanced=balanced, place=spot)
    with quiet(), interruptible():
        trainer = _trainer(job, place, len(batches), watchers)
        validation = validation_batches(corpus, EVALUATION_BATCH, context.workers, spot)
        trainer.fit(module, batches, validation, ckpt_path=job.start, weights_only=True)


def metric_of(corpus: Corpus) -> str:
    """The validation metric that a run is judged by: the UAR of its first target."""
    return f"val/{next(iter(corpus.spec.targets))}_uar"


def _callbacks(job: Job, place: ProcessContext) -> list[Callback]:
    learn, metric = job.step.learn_params, job.judged_by
    watchers: list[Callback] = [History(), Bar(metric, job.context.quiet or not place.is_rank_zero)]
    if place.is_rank_zero:
        watchers.append(TensorBoardImages())
    watchers.append(LearningRateMonitor("step"))
    if learn.early_stopping_epochs is not None:
        patience = learn.early_stopping_epochs
        watchers.append(EarlyStopping(metric, patience=patience, mode=mode_of(metric), check_on_train_epoch_end=True))
    newest = job.newest or learn.keep == "last"
    return [*watchers, *checkpoint_callbacks(job.step.saving_data_params, job.folder, None if newest else metric)]


def _trainer(job: Job, place: ProcessContext, batches: int, watchers: Sequence[Callback]) -> lightning.Trainer:
    step, learn = job.step, job.step.learn_params
    try:
        return lightning.Trainer(
            accelerator=step.accelerator,
            max_epochs=learn.max_epoch,
            callbacks=[*_callbacks(job, place), *watchers],
            logger=_logger(step.saving_data_params, job.folder, job.context.root),
            default_root_dir=job.folder,
            log_every_n_steps=max(1, min(10, batches)),
            gradient_clip_val=learn.gradient_clip_norm,
            precision=learn.precision,
            num_sanity_val_steps=0,
            deterministic="warn",
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            **{**place.options, "plugins": [*place.options.get("plugins", ()), AtomicCheckpoints()]},
        )
    except (MisconfigurationException, RuntimeError, ValueError) as error:
        raise DeviceError(f"accelerator {step.accelerator!r} cannot be used here ({first_line(error)})") from error


def _logger(saving: SavingDataParams, folder: Path, root: Path) -> TensorBoardLogger:
    def name(parts: list[str] | None) -> str:
        return "" if parts is None else concatenated(parts)

    path = saving.tensorboard_lr_monitors_logs_path
    return TensorBoardLogger(
        folder / "logs" if path is None else root / joined(path),
        name=name(saving.tensorboard_lr_monitors_logs_name),
        version=name(saving.tensorboard_lr_monitors_logs_version),
        sub_dir=name(saving.tensorboard_lr_monitors_logs_sub_dir) or None,
        default_hp_metric=False,
    )
