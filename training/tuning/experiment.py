"""One Ray Tune experiment: trials in reused worker processes, with records, pruning and display in this one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune import Callback, FailureConfig, RunConfig, TuneConfig, Tuner
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler
from ray.tune.search import Searcher

from emotions.errors import DiskFull
from training.cluster.storage import StorageLost
from training.run_folder.frozen_encoder import FILE as ENCODER
from training.tuning.live_table import LiveTable
from training.tuning.records import Results, SearchRecord, TrialRecord
from training.tuning.samplers import Sampler, make_sampler
from training.tuning.trial import Shared, run_trial

# A trial whose process or machine was lost is restarted from its last checkpoint.
_MAX_RESTARTS = 3
_SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # TensorBoard logs are the trials' own
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a trial that fails at once reports none
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
}
_DISK_FULL = "disk_full"
ENVIRONMENT = {
    "env_vars": {
        "TUNE_FUNCTION_THREAD_TIMEOUT_S": "30",  # for a trial that is stopped early to leave its process to the next
        "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths start where the run's start
    }
}
"""Ray's runtime environment."""


class _NotPickled:
    """Base of objects without state for Ray, which pickles callbacks to restore an experiment; we never restore one."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _ResumableSearcher(_NotPickled, Searcher):
    """Hands Ray the trials that have not ended, in their order; those with recorded values keep them.

    Attributes:
        disk_full: the message of a trial that found its disk full, after which no other is begun.
    """

    def __init__(self, sampler: Sampler, results: Results, pending: Sequence[int], metric: str, mode: str) -> None:
        super().__init__(metric=metric, mode=mode)
        self._sampler, self._results, self._pending = sampler, results, list(pending)
        self._numbers: dict[str, int] = {}
        self.disk_full: str | None = None

    def suggest(self, trial_id: str) -> Any:
        if not self._pending:
            return Searcher.FINISHED
        number = self._pending.pop(0)
        self._numbers[trial_id] = number
        known = self._results.read_trial(number)
        if known is None:
            known = TrialRecord(number=number, values=self._sampler.suggest(number))
            self._results.write_trial(known)
        return {"number": number, "values": known.values}

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        if result and _DISK_FULL in result:
            self._pending.clear()
            self.disk_full = str(result[_DISK_FULL])
            return
        number = self._numbers[trial_id]
        self._results.fetch(number)
        trial = self._results.read_trial(number)
        if trial is None:
            return
        if not trial.ended:  # Ray ended it, or its process was lost, before it could record that itself
            why = f"its process was lost {_MAX_RESTARTS + 1} times; perhaps memory was short" if error else None
            trial.state, trial.reason = ("failed" if error else "stopped"), why
            self._results.write_trial(trial)
            self._results.publish(number)
        self._sampler.tell(trial)

    def save(self, checkpoint_path: str) -> None:
        pass  # the records are the state

    def restore(self, checkpoint_path: str) -> None:
        pass


class _CheckpointPruner(_NotPickled, Callback):
    """Deletes the checkpoints of trials that are no longer the best, and refreshes the table."""

    def __init__(self, shared: Shared, results: Results, table: LiveTable) -> None:
        self._search, self._results, self._table = shared.search, results, table

    def on_trial_start(self, *_: Any, **__: Any) -> None:
        self._table.show()

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: Any, **_: Any) -> None:  # noqa: ARG002
        with contextlib.suppress(StorageLost):  # for display only: the record is fetched again at the trial's end
            self._results.fetch(trial.config["number"], record_only=True)
        self._table.show()

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:  # noqa: ARG002
        remove_beaten(self._results, self._search)
        found = self._results.read_trial(trial.config["number"])
        if found is not None:
            self._table.ended(found)
        self._table.show()

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self.on_trial_complete(iteration, trials, trial)


def remove_beaten(results: Results, search: SearchRecord) -> None:
    """Delete the checkpoints of ended trials that are neither the best of a ``search`` nor reach its threshold."""
    ranked = [trial for trial in results.ranked(search) if trial.ended]
    for place, trial in enumerate(ranked):
        best = trial.best(search)
        keep = best is not None and trial.state != "failed" and (place == 0 or search.reaches_threshold(best[1]))
        if trial.checkpoint is None or keep:
            continue
        folder = results.trial_folder(trial.number)
        for path in (*folder.glob("*.ckpt"), folder / ENCODER):
            path.unlink(missing_ok=True)
        trial.checkpoint = None
        results.write_trial(trial)
        results.publish(trial.number)


def run_experiment(
    shared: Shared, results: Results, table: LiveTable, pending: Sequence[int], needed: dict[str, float], scratch: Path
) -> None:
    """Run trials as ``drive`` does, with its arguments; ``scratch`` is a folder for Ray's own records.

    Raises DiskFull once the trials that run have stopped.
    """
    os.environ.update(_SETTINGS)
    search = shared.search
    reserved = {name.lower(): value for name, value in needed.items() if value}
    trainable = tune.with_resources(tune.with_parameters(_trial, shared=shared), reserved)
    sampler = make_sampler(shared.step, search, [trial for trial in results.trials() if trial.ended])
    searcher = _ResumableSearcher(sampler, results, pending, search.metric, search.mode)
    tuner = Tuner(
        trainable,
        tune_config=TuneConfig(
            search_alg=searcher,
            scheduler=_scheduler(shared),
            num_samples=len(pending),
            reuse_actors=True,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=RunConfig(
            name="search",
            storage_path=str(scratch),
            callbacks=[_CheckpointPruner(shared, results, table)],
            failure_config=FailureConfig(max_failures=_MAX_RESTARTS),
            verbose=0,
        ),
    )
    tuner.fit()
    if searcher.disk_full is not None:
        raise DiskFull(searcher.disk_full)


def _scheduler(shared: Shared) -> Any:
    search = shared.search
    if search.sampler == "random":
        return FIFOScheduler()  # type: ignore[no-untyped-call]
    # Of every six trials the best one continues, after a tenth of the epochs, and again after six times as many. With
    # Ray's default of four, 24 trials took 0.54 of a plain search's epochs: as draws improve, many are the best so far.
    return ASHAScheduler(
        time_attr="epoch",
        metric=search.metric,
        mode=search.mode,
        max_t=search.max_epochs + 1,  # a trial that reaches its last epoch ends by itself
        grace_period=max(1, search.max_epochs // 10),
        reduction_factor=6,
    )


def _trial(config: dict[str, Any], shared: Shared) -> None:
    """Run a trial in a worker process of the cluster."""
    worker = ray.get_runtime_context().get_node_id()
    try:
        run_trial(shared.on_node("trials"), config["number"], config["values"], tune.report, worker)
    except DiskFull as error:  # told as a result: a failed trial would be tried again, on the same disk
        tune.report({_DISK_FULL: str(error)})
