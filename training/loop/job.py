"""The training of one run, in a single process or in each process of a distributed run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, EarlyStopping, LearningRateMonitor
from lightning.pytorch.loggers import Logger, TensorBoardLogger

from emotions.errors import DeviceError, first_line
from emotions.files.atomic import room_for
from emotions.pipeline.runner import Context
from training.config.learning import LearnParams
from training.config.train import SavingDataParams, TrainStep
from training.corpus import Corpus
from training.loop.callbacks import Bar, History, TensorBoardImages
from training.loop.lightning_output import interruptible, lightning_output
from training.loop.loaders import training_batches, validation_batches
from training.loop.losses import class_weights, distillation_of, mean_shares
from training.loop.module import ClassifierModule
from training.loop.precompute import device_of
from training.loop.score import EVALUATION_BATCH
from training.loop.trackers import end_runs, tracker_loggers
from training.loop.waveform_augmentation import WaveformAugmenter
from training.models.base import Classifier
from training.models.registry import build_model, pinned
from training.run_folder.checkpoints import AtomicCheckpoints, checkpoint_callbacks, mode_of, remove_outdated
from training.run_folder.read import Trained, last_state, load_checkpoint, read_checkpoint
from training.run_folder.write import Result


@dataclass(frozen=True)
class Job:
    """One training. Picklable, for the processes of a distributed run.

    Attributes:
        start: checkpoint to resume from.
        metric: validation metric that the best checkpoint is chosen by; by default the UAR of the first target, or
            its CCC where it has dimensions.
        missing: what reports say of an encoder that was left out.
        newest: keep the last epoch's checkpoint as the best one, whatever the metric.
        group: the search that it belongs to, for trackers.
    """

    step: TrainStep
    context: Context
    corpus: Corpus
    folder: Path
    start: Path | None
    metric: str | None = None
    newest: bool = False
    missing: str | None = None
    group: str | None = None

    @property
    def selection_metric(self) -> str:
        """The validation metric that the best checkpoint is chosen by."""
        first, ranges = next(iter(self.corpus.spec.targets)), self.corpus.spec.ranges
        return (f"val/{first}_ccc" if first in ranges else f"val/{first}_uar") if self.metric is None else self.metric


@dataclass(frozen=True)
class ProcessContext:
    """One of the processes that train together.

    Attributes:
        rank, processes: its index, and how many there are.
        options: arguments of ``lightning.Trainer`` that connect it with the others.
    """

    rank: int
    processes: int
    options: Mapping[str, Any]


SINGLE = ProcessContext(0, 1, {"devices": 1})


def seeded_model(job: Job) -> Classifier:
    """The job's model with initial weights that depend on its seed alone."""
    lightning.seed_everything(job.context.seed, workers=True, verbose=False)
    return build_model(job.corpus.spec)


def train(job: Job, model: Classifier, process: ProcessContext = SINGLE, callbacks: Sequence[Callback] = ()) -> None:
    """Train to the end; the result is the checkpoints and logs in the run folder.

    Args:
        job: what to train.
        model: of ``seeded_model``.
        process: this process, among those that train together.
        callbacks: run after the checkpoints are written, where they are Lightning's ``Checkpoint``.
    """
    learn, corpus, context = job.step.learn_params, job.corpus, job.context
    if job.start is not None and job.start.parent == job.folder:
        remove_outdated(job.start)
        if _is_trained(job.start, learn):
            return  # it was stopped after its last epoch
    balanced = learn.sampling == "balanced"
    weights = class_weights(job.step, corpus)
    waveforms = WaveformAugmenter(learn.augmentation.waveform, context.root) if learn.augments_waveform else None
    shares = None if balanced else mean_shares(corpus.train)
    teacher = distillation_of(job.step, corpus)
    module = ClassifierModule(
        model, pinned(corpus.spec, model), learn, weights, context.seed, waveforms, shares, teacher
    )
    place = (process.rank, process.processes)
    batches = training_batches(corpus, learn.batch_size, context.seed, context.workers, balanced=balanced, place=place)
    with lightning_output(), interruptible(), room_for(job.folder):
        trainer = _trainer(job, process, len(batches), callbacks)
        validation = validation_batches(corpus, EVALUATION_BATCH, context.workers, place)
        try:
            trainer.fit(module, batches, validation, ckpt_path=job.start, weights_only=True)
        finally:
            end_runs()


def outcome(job: Job) -> tuple[Trained, Result]:
    """The best checkpoint and the result of a run, without metrics, as its last checkpoint records them."""
    best, history = last_state(job.folder)
    kept = job.folder / best
    trained = load_checkpoint(kept)
    if job.step.accelerator != "cpu":
        trained.model.to(device_of(job.step.accelerator))
    epoch = int(read_checkpoint(kept)["epoch"])
    return trained, Result(best, epoch, trained.steps, history, {})


def _is_trained(last: Path, learn: LearnParams) -> bool:
    """Whether a last checkpoint is that of the last epoch, the one that early stopping ended with included."""
    checkpoint = read_checkpoint(last)
    stopping = [state for name, state in checkpoint["callbacks"].items() if name.startswith("EarlyStopping")]
    stopped = any(state["wait_count"] >= (learn.early_stopping_epochs or state["patience"]) for state in stopping)
    return stopped or int(checkpoint["epoch"]) + 1 >= learn.max_epoch


def _callbacks(job: Job, process: ProcessContext) -> list[Callback]:
    learn, metric = job.step.learn_params, job.selection_metric
    callbacks: list[Callback] = [History(), Bar(metric, job.context.quiet or process.rank > 0)]
    if process.rank == 0:
        callbacks.append(TensorBoardImages())
    callbacks.append(LearningRateMonitor("step"))
    if learn.early_stopping_epochs is not None:
        patience = learn.early_stopping_epochs
        callbacks.append(EarlyStopping(metric, patience=patience, mode=mode_of(metric), check_on_train_epoch_end=True))
    newest = job.newest or learn.keep == "last"
    return [*callbacks, *checkpoint_callbacks(job.step.saving_data_params, job.folder, None if newest else metric)]


def _trainer(job: Job, process: ProcessContext, batches: int, callbacks: Sequence[Callback]) -> lightning.Trainer:
    step, learn = job.step, job.step.learn_params
    try:
        return lightning.Trainer(
            accelerator=step.accelerator,
            max_epochs=learn.max_epoch,
            callbacks=[*_callbacks(job, process), *callbacks],
            logger=_loggers(job, process),
            default_root_dir=job.folder,
            log_every_n_steps=max(1, min(10, batches)),
            gradient_clip_val=learn.gradient_clip_norm,
            precision=learn.precision,
            num_sanity_val_steps=0,  # they would be scored as an epoch, by an untrained model
            deterministic="warn",  # some CUDA operators have no deterministic form: those only warn
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,  # the batches are divided already
            **{**process.options, "plugins": [*process.options.get("plugins", ()), AtomicCheckpoints()]},
        )
    except (MisconfigurationException, RuntimeError, ValueError) as error:
        raise DeviceError(f"accelerator {step.accelerator!r} cannot be used here ({first_line(error)})") from error


def _loggers(job: Job, process: ProcessContext) -> list[Logger]:
    """TensorBoard, which callbacks draw for, and the trackers that are asked for; these in the first process alone."""
    own = _logger(job.step.saving_data_params, job.folder, job.context.root)
    return [own, *(tracker_loggers(job.step, job.folder, job.group) if process.rank == 0 else ())]


def _logger(saving: SavingDataParams, folder: Path, root: Path) -> TensorBoardLogger:
    path = saving.tensorboard_lr_monitors_logs_path
    return TensorBoardLogger(
        folder / "logs" if path is None else root.joinpath(*path),
        name="".join(saving.tensorboard_lr_monitors_logs_name or []),
        version="".join(saving.tensorboard_lr_monitors_logs_version or []),
        sub_dir="".join(saving.tensorboard_lr_monitors_logs_sub_dir or []) or None,
        default_hp_metric=False,
    )
