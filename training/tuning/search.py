"""The search: Ray Tune runs the trials, and the results folder is the only record of them.

Ray's own record is pickled, and a results folder may come from an untrusted source: it is discarded, and ours is JSON.
A resumed search is a new experiment over the trials that have not ended, each from its own last checkpoint.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from emotions.errors import ConfigError, DiskFull, first_part
from emotions.files.atomic import remove_left_over
from emotions.pipeline.energy.grid import check_energy
from emotions.pipeline.interruption import Interrupted
from emotions.pipeline.runner import Context
from emotions.runtime.cores import available_cores
from training.cluster.connection import check_room, connected
from training.cluster.storage import Storage, StorageLost
from training.config.tune import TuneStep
from training.corpus import Corpus
from training.loop.fit import conclude
from training.loop.precompute import device_of
from training.run_folder.checkpoints import mode_of
from training.run_folder.trackers import add_pictures, check_installed, prepare, warn_of
from training.tuning.driver import drive
from training.tuning.experiment import ENVIRONMENT
from training.tuning.records import Results, SearchRecord, TrialRecord
from training.tuning.report import print_results
from training.tuning.runtime_env import runtime_environment
from training.tuning.same_search import check_same, results_folder, search_key
from training.tuning.spaces import check_searched, draw, search_spaces, train_step
from training.tuning.trial import Shared, prepared, trial_job


def search(step: TuneStep, context: Context) -> Path:
    """Search, or resume an interrupted search, until every trial has ended; the results folder.

    Args:
        step: model, search spaces, data and output.
        context: root, seed and workers.

    Raises:
        ConfigError: there is nothing to search, no such metric, no such cluster; or no trial ended well.
        DataError: the dataset cannot be used.
        OutputExists: the results folder holds another search, or one that is running.
        DiskFull: the disk is full; the trial goes on once there is room.
        Interrupted: it was stopped; the results so far are recorded.
    """
    check_searched(step)
    check_installed(step.saving_data_params.loggers)
    check_energy(step.saving_data_params.energy)
    if step.tune.storage_path is not None:
        Storage(step.tune.storage_path, "").check()
    corpus = prepared(train_step(step, draw(step, context.seed, 0)), context)
    _check_metric(step, corpus)
    record = _record(step, context, corpus)
    former = {record.key, search_key(step, context, corpus, counts_samples=True)}
    folder, found = results_folder(step, context, record, former)
    if found is not None and step.tune.storage_path is not None:
        record = record.model_copy(update={"key": found.key})  # names the place in the storage
    shared = Shared(step, context, folder, record, corpus.leaks)
    results = shared.results()
    with results.locked():
        check_same(results, record, former)
        remove_left_over(results.folder)
        results.write_search(record)
        _run(shared, results)
        left = record.num_samples - sum(trial.ended for trial in results.trials())
        results.write_search(record.model_copy(update={"state": "interrupted" if left else "finished"}))
        concluded = _conclude(shared, results)
    print_results(results.folder)
    if left:
        ended = record.num_samples - left
        raise Interrupted(f"{ended} of {record.num_samples} trials have ended and are kept in {results.folder}")
    if not concluded:
        reasons = [f"; the first said: {trial.reason}" for trial in results.trials() if trial.reason]
        raise ConfigError(f"{results.folder}: no trial of the search ended well{''.join(reasons[:1])}")
    return results.folder


def _check_metric(step: TuneStep, corpus: Corpus) -> None:
    targets = list(corpus.spec.targets)
    names = {target: ("ccc",) if target in corpus.spec.ranges else ("uar", "wa", "macro_f1") for target in targets}
    logged = ["val/loss", *(f"val/{target}_{name}" for target in targets for name in names[target])]
    if step.tune.target_metric_name not in logged:
        raise ConfigError(
            f"tune.target_metric_name: found {step.tune.target_metric_name}, which is never logged for this dataset; "
            f"those that are: {', '.join(logged)}"
        )


def _record(step: TuneStep, context: Context, corpus: Corpus) -> SearchRecord:
    tune = step.tune
    return SearchRecord(
        key=search_key(step, context, corpus),
        model=step.model,
        spaces={path: space.model_dump(exclude_none=True) for path, space in search_spaces(step).items()},
        metric=tune.target_metric_name,
        mode=mode_of(tune.target_metric_name),
        num_samples=tune.num_samples,
        max_epochs=tune.max_tune_epochs,
        sampler="optuna" if tune.enable_tune_features else "random",
        seed=context.seed,
        threshold=tune.checkpoints_save_threshold,
        protocol=corpus.split.protocol,
        step=step.model_dump(mode="json", exclude_unset=True),
        root=str(context.root),
    )


def _run(shared: Shared, results: Results) -> None:
    try:
        _run_pending(shared, results)
    except DiskFull as error:
        ended = sum(trial.ended for trial in results.trials())
        raise DiskFull(
            f"{first_part(error)}; {ended} of {shared.search.num_samples} trials have ended and are kept in "
            f"{results.folder}: make room, then the same command goes on"
        ) from error
    except StorageLost as error:
        raise ConfigError(
            f"tune.storage_path: the storage does not answer any more ({error}); the same command goes on"
        ) from error


def _run_pending(shared: Shared, results: Results) -> None:
    """Run the trials that have not ended."""
    results.fetch()
    known = results.trials()
    pending = sorted({*range(shared.search.num_samples)} - {trial.number for trial in known if trial.ended})
    if not pending:
        return
    prepare(shared.step.saving_data_params.loggers)
    tune, needed = shared.step.tune, _needed(shared.step)
    session = shared.context.root.joinpath(*shared.step.saving_data_params.tune_session_path)
    cpus = max(available_cores(), tune.cpus_per_trial)
    # Code and data travel with the run where the nodes share no folder with this machine.
    shipped: AbstractContextManager[dict[str, Any]] = nullcontext({})
    if tune.storage_path is not None:
        shipped = runtime_environment(shared.step, shared.context)
    with (
        shipped as extra,
        connected(tune.ray_address, cpus, "tune.ray_address", session, {**ENVIRONMENT, **extra}) as ray,
    ):
        found = f"tune.gpus_per_trial, cpus_per_trial: found {needed['GPU']:g}, {needed['CPU']:g}"
        check_room(ray.cluster_resources(), needed, found)
        drive(ray, shared, pending, needed)


def _needed(step: TuneStep) -> dict[str, float]:
    """Resources of a trial."""
    tune = step.tune
    gpus = tune.gpus_per_trial
    if gpus is None:
        uses_gpu = step.accelerator in ("gpu", "cuda") or device_of(step.accelerator).type == "cuda"
        gpus = (0.5 if tune.enable_tune_features else 1.0) if uses_gpu else 0.0
    return {"CPU": float(tune.cpus_per_trial), "GPU": gpus}


def _conclude(shared: Shared, results: Results) -> int:
    """Complete the run folders of the trials whose checkpoints are kept, and return how many there are.

    The best one alone is scored on the test part.
    """
    ranked = [trial for trial in results.ranked(shared.search) if trial.ended]
    kept = [trial for trial in ranked if trial.state != "failed" and _has_checkpoint(results, trial)]
    named = {"spaces", "metric", "mode", "num_samples", "sampler", "seed"}
    settings = {**shared.search.model_dump(mode="json", include=named), "max_epochs": shared.search.max_epochs}
    about = {**settings, "trials": len(ranked)}
    for trial in kept:
        job = trial_job(shared, trial.number, trial.values, test=trial is kept[0])
        conclude(replace(job, start=None), {"search": {**about, "trial": trial.number, "values": trial.values}})
        warn_of(add_pictures(job.folder))
    return len(kept)


def _has_checkpoint(results: Results, trial: TrialRecord) -> bool:
    return trial.checkpoint is not None and (results.trial_folder(trial.number) / trial.checkpoint).is_file()
