"""The ``evaluate`` step: clips, folds, audit, nested selection, one training per fold and seed, report."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from emotions.errors import ConfigError
from emotions.files.atomic import locked
from emotions.pipeline.interruption import keeping
from emotions.pipeline.runner import Context
from training.config.evaluate import EvaluateStep, decisive
from training.config.train import TrainStep
from training.corpus import read_usable
from training.data.checks.leakage import audit
from training.data.clips import ClipTable
from training.data.waveforms.waveform_cache import WaveformCache
from training.evaluation.protocols.fold_job import Shared, done_in, remove_unfinished
from training.evaluation.protocols.folds import Folds, make_folds
from training.evaluation.protocols.nested_selection import inner_splits, select_candidates
from training.evaluation.protocols.tasks import hash_of, predictions_of, task_of
from training.evaluation.report.report import Evidence, write_report
from training.features.teacher.audit import judged
from training.features.teacher.teacher import Teacher, read_teacher
from training.models.shelf.optional import with_what_is_there

FOLDS = "folds"
_LOCK = "evaluation.lock"


def cross_validate(step: EvaluateStep, context: Context) -> Path:
    """Measure a model by a protocol, or resume a measurement that was interrupted; the report's folder.

    Args:
        step: model, data and protocol.
        context: root, seed and workers.

    Raises:
        DataError: the dataset cannot be used or cut into folds, or the parts share speakers, recordings or clips.
        BundleError: the teacher cannot be used.
        ConfigError: the model cannot be built or trained so.
        DeviceError: the accelerator asked for cannot be used, or a process was killed.
        OutputExists: another evaluation is running in the folder.
        DiskFull: the disk is full; the folds that are done are kept.
        Interrupted: it was stopped; likewise.
    """
    compared = step.compared()
    found = [with_what_is_there(each) for each in (*step.candidates(), *([compared] if compared else []))]
    models = len(found) - (compared is not None)
    steps, missing = tuple(each for each, _ in found), next((said for _, said in found if said), None)
    _check(steps[0])
    table, facts = read_usable(step.dataset, context)
    seeds = step.seeds or [context.seed]
    folds = make_folds(table, step.protocol, step.folds, step.dataset.split, seeds)
    teacher = judged(read_teacher(step, context, table), table, facts, folds.splits, step.dataset.split)
    leaks = audit(table, facts, folds.splits, step.dataset, WaveformCache())
    leaks.raise_for(str(table.root))
    leaks.warn_of_voices()
    count = step.choose.folds if step.choose else step.dataset.split.val_folds
    inner = inner_splits(table, folds.splits, step.dataset.split, count, seeds[0]) if count else []
    splits = (*folds.splits, *itertools.chain.from_iterable(inner))
    output = _output(step, context, table, folds, teacher)
    shared = Shared(steps, context, table, tuple(facts), splits, output / FOLDS, teacher)
    with _alone(output), keeping(lambda: f"{len(done_in(shared))} folds are kept in {shared.folder}"):
        remove_unfinished(shared)
        selection = select_candidates(shared, models, [*map(len, inner)], seeds[0], step.jobs) if inner else None
        chosen = selection.candidates if selection else [0] * len(folds)
        tasks = [
            task_of(shared, fold, model, seed, altered=step.robustness and seed == seeds[0])
            for seed in seeds
            for fold, model in enumerate(chosen)
        ]
        others = [task_of(shared, task.fold, len(steps) - 1, task.seed) for task in tasks] if compared else []
        answers = predictions_of(shared, [*tasks, *others], step.jobs, "Folds")
        predictions, other = answers[: len(tasks)], answers[len(tasks) :]
        if selection and step.dataset.split.val_folds:
            predictions = [replace(each, val=selection.out_of_fold(each.fold)) for each in predictions]
        told = selection if step.choose else None
        return write_report(output, step, Evidence(table, folds, leaks, predictions, told, other, missing, teacher))


@contextlib.contextmanager
def _alone(output: Path) -> Iterator[None]:
    """Lock a folder for one evaluation. Raises OutputExists where another one holds it."""
    lock = output / _LOCK
    with locked(lock, f"{output}: another evaluation is running in it; wait for its end, or name another output"):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _check(step: TrainStep) -> None:
    if step.dataset.dimensional:
        raise ConfigError(
            "dataset.targets: an evaluate step measures targets of labels alone; a train step measures dimensions, "
            "on its test part"
        )
    if step.devices not in ("auto", 1):
        raise ConfigError("devices: an evaluate step trains each fold on one device; set jobs for more folds at once")
    if step.saving_data_params.start_from_saved_checkpoint_path is not None:
        raise ConfigError(
            "saving_data_params.start_from_saved_checkpoint_path: an evaluate step trains every fold anew, because a "
            "checkpoint may have seen its test speakers"
        )


def _output(step: EvaluateStep, context: Context, table: ClipTable, folds: Folds, teacher: Teacher | None) -> Path:
    """The folder that the step names, else one below ``runs`` that depends on the evaluation alone."""
    if step.output is not None:
        return context.root.joinpath(*step.output)
    models = [decisive(each) for each in step.candidates()]
    inner = [models, step.choose.folds] if step.choose else models[0]
    taught = [] if teacher is None else [teacher.identity]
    content = [inner, step.seeds or [context.seed], table.fingerprint, folds.protocol, *taught]
    return context.root / "runs" / f"evaluate-{step.model}-{step.protocol}-{hash_of(content)[:8]}"
