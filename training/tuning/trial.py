"""One trial: a training with drawn values, recorded after every epoch, and resumed from its last checkpoint."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Checkpoint

from emotions.errors import DiskFull, EmotionsError, first_line
from emotions.files.atomic import remove_left_over
from emotions.files.cache import cache_root
from emotions.pipeline.runner import Context
from training.cluster.storage import Storage, StorageLost
from training.config.train import TrainStep, model_spec
from training.config.tune import TuneStep
from training.corpus import Corpus, read_corpus
from training.data.checks.leakage import Leaks
from training.loop.callbacks import History
from training.loop.job import Job, seeded_model, train
from training.loop.precompute import precomputed
from training.run_folder.checkpoints import BestCheckpoint
from training.run_folder.energy import measured_part
from training.run_folder.frozen_encoder import write_encoder
from training.run_folder.layout import LAST
from training.run_folder.read import last_state, read_checkpoint
from training.tuning.records import Results, SearchRecord, TrialRecord
from training.tuning.spaces import train_step

Report = Callable[[dict[str, Any]], None]

_FRONTEND_KEYS = ("scale", "encoder", "embedding", "freeze", "trainable_layers")


@dataclass(frozen=True)
class Shared:
    """What all trials of a search have in common. Picklable.

    Attributes:
        leaks: what the parts of the split share, so that not every process has to search for it again.
    """

    step: TuneStep
    context: Context
    folder: Path
    search: SearchRecord
    leaks: Leaks | None = None

    def results(self) -> Results:
        """The results folder, with its storage. Raises ConfigError where that cannot be used."""
        url = self.step.tune.storage_path
        return Results(self.folder, None if url is None else Storage(url, f"{self.folder.name}-{self.search.key[:16]}"))

    def on_node(self, name: str) -> Shared:
        """The same for a process on a node of the cluster, with folders of that node where the nodes share no disk."""
        if self.step.tune.storage_path is None:
            return self
        folder = cache_root() / "searches" / self.search.key[:16] / name / self.folder.name
        return replace(self, folder=folder, context=replace(self.context, root=Path.cwd()))


def trial_job(shared: Shared, number: int, values: Mapping[str, Any], *, test: bool = False) -> Job:
    """The training of one trial.

    Args:
        shared: what all trials have in common.
        number: number of the trial.
        values: dotted path -> drawn value.
        test: include the test part.
    """
    results = Results(shared.folder)
    folder = results.trial_folder(number)
    step = _with_folders(train_step(shared.step, values), shared, folder)
    whole = prepared(step, shared.context, shared.leaks)
    spec = model_spec(step, whole.spec.targets, whole.spec.ranges)
    corpus = replace(whole, spec=spec, test=whole.test if test else None)
    last = folder / f"{LAST}.ckpt"
    start, group = last if last.is_file() else None, shared.search.group(shared.folder)
    return Job(step, shared.context, corpus, folder, start, shared.search.metric, group=group)


def _with_folders(step: TrainStep, shared: Shared, folder: Path) -> TrainStep:
    """The step with the trial's run folder and TensorBoard logs, and the search's number of epochs."""
    saving = step.saving_data_params
    logs = saving.tensorboard_lr_monitors_logs_path
    if logs is not None:
        logs = [*logs, shared.folder.name, folder.name]
    folders = {
        "saved_checkpoints_path": [str(folder)],
        "saved_checkpoints_filename": ["best_{epoch:02d}"],
        "tensorboard_lr_monitors_logs_path": logs,
    }
    learn = step.learn_params.model_copy(update={"max_epoch": shared.search.max_epochs})
    return step.model_copy(update={"saving_data_params": saving.model_copy(update=folders), "learn_params": learn})


_prepared: dict[str, Corpus] = {}


def prepared(step: TrainStep, context: Context, leaks: Leaks | None = None) -> Corpus:
    """The data of a step, as features where they stay the same; each process reads it once for all its trials.

    Args:
        step: model, data and settings.
        context: root, seed and workers.
        leaks: as ``read_corpus`` takes them.
    """
    architecture, learn = step.model_architecture.model_dump(), step.learn_params
    frontend = {key: architecture[key] for key in _FRONTEND_KEYS if key in architecture}
    sizes = (learn.padding_sec, learn.spectrogram_size, learn.augments_waveform, learn.cache_features)
    data = step.model_dump(mode="json", include={"dataset", "teacher"})
    key = json.dumps([step.model, frontend, sizes, data, context.seed])
    if key not in _prepared:
        _prepared.clear()  # only one set of features stays in memory
        _prepared[key] = precomputed(read_corpus(step, context, leaks=leaks), step)
    return _prepared[key]


class _Reporter(Checkpoint):
    """Records and reports each epoch. A ``Checkpoint``, so that Lightning runs it after the checkpoints are written."""

    def __init__(self, results: Results, record: TrialRecord, search: SearchRecord, report: Report) -> None:
        self._results, self._record, self._metric, self._report = results, record, search.metric, report
        self._before, self._started = record.seconds, time.monotonic()

    def on_train_epoch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        history = next(each for each in callbacks if isinstance(each, History)).metrics
        best = next(each for each in callbacks if isinstance(each, BestCheckpoint))
        self.record(history, best.best_model_path)
        self._results.publish(self._record.number)
        self._report({self._metric: history[self._metric][-1], "epoch": trainer.current_epoch + 1})

    def record(self, history: Mapping[str, list[float | None]], best: str) -> None:
        """Write the trial's record; ``best`` is the path of the best checkpoint."""
        record = self._record
        record.history = {name: list(values) for name, values in history.items() if name.startswith(("val/", "train/"))}
        record.checkpoint = Path(best).name or None
        record.seconds = self._before + time.monotonic() - self._started
        self._results.write_trial(record)


def run_trial(
    shared: Shared, number: int, values: Mapping[str, Any], report: Report, worker: str | None = None
) -> TrialRecord:
    """Train a trial until it is done or ``report`` ends it, and record how it ended.

    An error is recorded too, and the search goes on without the trial.

    Args:
        shared: what all trials have in common.
        number: number of the trial.
        values: dotted path -> drawn value.
        report: receives metric and epoch after each epoch.
        worker: id of the Ray node.

    Raises:
        SystemExit: ``report`` ended it; the caller records that.
        DiskFull: the disk is full; the trial has not ended.
    """
    torch.set_num_threads(shared.step.tune.cpus_per_trial)
    results = shared.results()
    results.fetch(number)
    try:
        record = results.read_trial(number) or TrialRecord(number=number, values=dict(values))
        if not record.ended:
            record.worker = worker
            _run(shared, results, record, report)
        return record
    finally:
        results.release(number)


def _run(shared: Shared, results: Results, record: TrialRecord, report: Report) -> None:
    try:
        _train(shared, results, record, report)
        record.state = "done"
    except KeyboardInterrupt as error:  # Lightning's loop turns SystemExit into it
        raise SystemExit(0) from error
    except (StorageLost, DiskFull):  # no fault of the values: the trial goes on later
        raise
    except EmotionsError as error:
        record.state, record.reason = "failed", str(error)
    except MemoryError:
        record.state, record.reason = "failed", "out of memory"
    except Exception as error:  # noqa: BLE001 - no combination of values may end the search
        record.state, record.reason = "failed", f"{type(error).__name__}: {first_line(error)}"[:300]
    results.write_trial(record)
    results.publish(record.number)


def _train(shared: Shared, results: Results, record: TrialRecord, report: Report) -> None:
    results.write_trial(record)
    job = trial_job(shared, record.number, record.values)
    remove_left_over(job.folder)
    if job.start is not None:
        try:
            read_checkpoint(job.start)
        except EmotionsError:  # a broken one: from the start
            job = replace(job, start=None)
    model = seeded_model(job)
    record.parameters = sum(each.numel() for each in model.parameters() if each.requires_grad)
    write_encoder(job.folder, model)
    reporter = _Reporter(results, record, shared.search, report)
    with measured_part(job.folder, job.step.saving_data_params.energy, resumed=job.start is not None):
        train(job, model, callbacks=[reporter])
    # A trial that was killed after its last epoch had nothing left to train, so that nothing was reported.
    best, history = last_state(job.folder)
    reporter.record(history, best)
