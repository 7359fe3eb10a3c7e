"""Fit: a train step in, a run folder out."""

from __future__ import annotations

import contextlib
import logging
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger

from emotions.errors import CheckpointError, ConfigError, DeviceError, OutputExists
from emotions.pipeline import Context
from training.config import ModelSpec, SavingDataParams, TrainStep, concatenated, joined
from training.data.feature_dataset import ClipDataset
from training.evaluation.metrics import Scores
from training.loop.callbacks import Bar, History
from training.loop.corpus import Corpus, class_weights, read_corpus, train_loader, val_loader
from training.loop.module import ClassifierModule
from training.loop.precompute import precomputed
from training.loop.record import Result, print_summary, write_run
from training.loop.runs import RUN_FILE, Trained, load_checkpoint, read_checkpoint
from training.loop.score import evaluate, score_answers
from training.models.registry import build_model, check_trained

LAST = "last"
_EVALUATION_BATCH = 32
# Large steps on a small corpus throw batch norm off; gradients are usually well below this.
_CLIP_NORM = 5.0

# What Lightning and torch say that tells a user nothing; each by its own words.
_NOISE = (
    r".*does not have many workers.*",
    r".*The number of training batches .* is smaller than the logging interval.*",
    r".*[Cc]heckpoint directory .* exists and is not empty.*",
    r".*The dirpath has changed from .*",
    r".*is deprecated, use `isinstance\(treespec, TreeSpec\).*",
    r".*Found \d+ module\(s\) in eval mode at the start of training.*",
    r".*isinstance\(treespec, LeafSpec\).*",
)


def fit(step: TrainStep, context: Context) -> Path:
    """Train a model and write its run folder.

    Args:
        step: what to train, on what, and where to.
        context: root, seed, workers and the resolved config.

    Returns:
        The run folder.

    Raises:
        OutputExists: there is a finished run in the folder.
        DataError: the dataset cannot be used.
        ConfigError: the model cannot be built or trained so, or training diverged.
        CheckpointError: the checkpoint to start from is broken, or of another model.
        DeviceError: the accelerator asked for cannot be used.
    """
    folder = context.root / joined(step.saving_data_params.saved_checkpoints_path)
    _check_step(step)
    start = _start(step, context)
    if (folder / RUN_FILE).exists() and (start is None or start.parent != folder):
        raise OutputExists(f"{folder}: holds a finished run; name another saved_checkpoints_path")
    corpus = read_corpus(step, context)
    if start is not None:
        _check_start(start, corpus.spec, step.learn_params.max_epoch)
    lightning.seed_everything(context.seed, workers=True, verbose=False)
    model = build_model(corpus.spec)
    corpus = precomputed(corpus, model, step)
    module = ClassifierModule(model, corpus.spec, step.learn_params, class_weights(step, corpus), context.seed)
    with _quiet():
        trained = _train(step, context, corpus, module, folder, start)
    result = _evaluated(trained, corpus)
    write_run(folder, step, context, corpus, result)
    print_summary(folder, corpus, result)
    return folder


def _check_step(step: TrainStep) -> None:
    """Refuse what this release does not train before the data are read."""
    check_trained(step.model)
    if step.devices not in ("auto", 1):
        raise ConfigError(f"devices: found {step.devices}; this release trains on one device")


def _start(step: TrainStep, context: Context) -> Path | None:
    parts = step.saving_data_params.start_from_saved_checkpoint_path
    return None if parts is None else context.root / joined(parts)


def _check_start(path: Path, spec: ModelSpec, max_epoch: int) -> None:
    """Refuse a checkpoint of another model, and one that has nothing left to train."""
    trained, checkpoint = load_checkpoint(path), read_checkpoint(path)
    stored, asked = trained.spec.model_dump(), spec.model_dump()
    other = [name for name in asked if stored[name] != asked[name]]
    if other:
        named = "; ".join(f"{name} is {stored[name]}, the config and data give {asked[name]}" for name in other)
        raise CheckpointError(f"{path}: is of another model: {named}")
    if not checkpoint.get("optimizer_states") or not isinstance(checkpoint.get("epoch"), int):
        raise CheckpointError(f"{path}: has no optimiser state, so training cannot go on from it")
    if checkpoint["epoch"] + 1 >= max_epoch:
        raise ConfigError(
            f"{path}: has been trained for {checkpoint['epoch'] + 1} epochs already; "
            f"raise learn_params.max_epoch above that (now {max_epoch})"
        )


def _train(
    step: TrainStep, context: Context, corpus: Corpus, module: ClassifierModule, folder: Path, start: Path | None
) -> tuple[Trained, Result]:
    """Run Lightning; the best checkpoint and what to tell of the run."""
    history, metric = History(), f"val/{next(iter(corpus.spec.targets))}_uar"
    best = _best_checkpoint(step.saving_data_params, folder, metric)
    watchers = [history, Bar(metric, context.quiet), LearningRateMonitor("step"), best, _last_checkpoint(folder)]
    loaders = (
        train_loader(corpus, step.learn_params.batch_size, context),
        val_loader(corpus, _EVALUATION_BATCH, context),
    )
    trainer = _trainer(step, context, folder, watchers, batches=len(loaders[0]))
    with _interruptible():
        trainer.fit(module, *loaders, ckpt_path=start, weights_only=True)
    kept = Path(best.best_model_path)
    trained = load_checkpoint(kept)
    trained.model.to(trainer.strategy.root_device)
    epoch = int(read_checkpoint(kept)["epoch"])
    return trained, Result(kept.name, f"{LAST}.ckpt", epoch, trained.steps, history.metrics, {})


def _best_checkpoint(saving: SavingDataParams, folder: Path, metric: str) -> ModelCheckpoint:
    return ModelCheckpoint(
        dirpath=folder,
        filename=concatenated(saving.saved_checkpoints_filename),
        monitor=metric,
        mode="max",
        save_on_train_epoch_end=True,
    )


def _last_checkpoint(folder: Path) -> ModelCheckpoint:
    """A callback of its own: ``save_last`` writes only when the best one was written too."""
    return ModelCheckpoint(dirpath=folder, filename=LAST, enable_version_counter=False, save_on_train_epoch_end=True)


def _trainer(
    step: TrainStep, context: Context, folder: Path, watchers: list[Callback], batches: int
) -> lightning.Trainer:
    try:
        return lightning.Trainer(
            accelerator=step.accelerator,
            devices=1,
            max_epochs=step.learn_params.max_epoch,
            callbacks=watchers,
            logger=_logger(step.saving_data_params, folder, context.root),
            default_root_dir=folder,
            log_every_n_steps=max(1, min(10, batches)),
            gradient_clip_val=_CLIP_NORM,
            num_sanity_val_steps=0,
            deterministic="warn",
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except (MisconfigurationException, RuntimeError) as error:
        raise DeviceError(
            f"accelerator {step.accelerator!r} cannot be used here ({str(error).splitlines()[0]})"
        ) from error


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


def _evaluated(outcome: tuple[Trained, Result], corpus: Corpus) -> Result:
    """The result with the best checkpoint's scores on the validation and the test part."""
    trained, result = outcome
    parts: dict[str, ClipDataset | None] = {"validation": corpus.val, "test": corpus.test}
    for part, dataset in parts.items():
        if dataset is not None:
            result.metrics[part] = _scores(trained, dataset)
    return result


def _scores(trained: Trained, dataset: ClipDataset) -> dict[str, Scores]:
    return score_answers(evaluate(trained.model, dataset, batch_size=_EVALUATION_BATCH), trained.spec.targets)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C be what it is elsewhere: Lightning ignores the signal from then on and leaves the process."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what Lightning says about itself; its and torch's other warnings pass."""
    talkers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels: list[Any] = [talker.level for talker in talkers]
    deterministic = torch.are_deterministic_algorithms_enabled()
    with warnings.catch_warnings():
        for message in _NOISE:
            warnings.filterwarnings("ignore", message=message)
        for talker in talkers:
            talker.setLevel(logging.WARNING)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(deterministic)
            for talker, level in zip(talkers, levels, strict=True):
                talker.setLevel(level)
