"""The ``evaluate`` step: clips, folds, audit, nested selection, one training per fold and seed, report."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from emotions.errors import ConfigError
from emotions.pipeline.interruption import keeping
from emotions.pipeline.runner import Context
from training.config.evaluate import EvaluateStep, decisive
from training.config.train import window_samples
from training.corpus import read_usable
from training.data.checks.leakage import audit
from training.data.clips import ClipTable
from training.data.waveforms.waveform_cache import WaveformCache
from training.evaluation.protocols.fold_job import Shared, done_in, remove_unfinished
from training.evaluation.protocols.folds import Folds, make_folds
from training.evaluation.protocols.nested_selection import inner_splits, select_candidates
from training.evaluation.protocols.output import FOLDS, alone_in, check_step, output_folder
from training.evaluation.protocols.tasks import predictions_of, task_of
from training.evaluation.report.fold_errors import Cut
from training.evaluation.report.report import Evidence, write_report
from training.features.teacher.audit import judged
from training.features.teacher.teacher import Teacher, read_teacher
from training.metrics.predictions import FoldPredictions
from training.models.shelf.optional import with_what_is_there


def cross_validate(step: EvaluateStep, context: Context) -> Path:
    """Measure a model by a protocol, or resume a measurement that was interrupted; the report's folder.

    Args:
        step: model, data and protocol.
        context: root, seed and workers.

    Raises:
        DataError: the dataset cannot be used or cut into folds, or the parts share speakers, recordings or clips.
        BundleError: the teacher cannot be used.
        ConfigError: the model cannot be built or trained so, or a threshold is asked for beside dimensions.
        DeviceError: the accelerator asked for cannot be used, or a process was killed.
        OutputExists: another evaluation is running in the folder.
        DiskFull: the disk is full; the folds that are done are kept.
        Interrupted: it was stopped; likewise.
    """
    compared = step.compared()
    found = [with_what_is_there(each) for each in (*step.candidates(), *([compared] if compared else []))]
    models = len(found) - (compared is not None)
    steps, missing = tuple(each for each, _ in found), next((said for _, said in found if said), None)
    check_step(steps[0])
    if step.max_risk is not None and step.dataset.dimensional:
        raise ConfigError("max_risk: a threshold is for models of labels alone; leave it out, or the dimensions")
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
    output = output_folder(step, context, _content(step, context, table, folds, teacher))
    shared = Shared(steps, context, table, tuple(facts), splits, output / FOLDS, teacher)
    with alone_in(output), keeping(lambda: f"{len(done_in(shared))} folds are kept in {shared.folder}"):
        remove_unfinished(shared)
        selection = select_candidates(shared, models, [*map(len, inner)], seeds[0], step.jobs) if inner else None
        chosen = selection.candidates if selection else [0] * len(folds)
        predictions, others = _predictions(step, shared, chosen, seeds)
        if selection and step.dataset.split.val_folds:
            predictions = [replace(each, val=selection.out_of_fold(each.fold)) for each in predictions]
        evidence = Evidence(
            table=table,
            folds=folds,
            cut=Cut([fact.samples for fact in facts], [window_samples(steps[model]) for model in chosen]),
            leaks=leaks,
            predictions=predictions,
            selection=selection if step.choose else None,
            compared=others,
            missing=missing,
            teacher=teacher,
        )
        return write_report(output, step, evidence)


def _predictions(
    step: EvaluateStep, shared: Shared, chosen: Sequence[int], seeds: Sequence[int]
) -> tuple[list[FoldPredictions], list[FoldPredictions]]:
    """What the model that is chosen for each fold answers with each seed, and what the one to compare with does."""
    tasks = [
        task_of(shared, fold, model, seed, altered=step.robustness and seed == seeds[0])
        for seed in seeds
        for fold, model in enumerate(chosen)
    ]
    last = len(shared.steps) - 1
    others = [] if step.compare is None else [task_of(shared, task.fold, last, task.seed) for task in tasks]
    answers = predictions_of(shared, [*tasks, *others], step.jobs, "Folds")
    return answers[: len(tasks)], answers[len(tasks) :]


def _content(
    step: EvaluateStep, context: Context, table: ClipTable, folds: Folds, teacher: Teacher | None
) -> list[Any]:
    """What the evaluation depends on."""
    models = [decisive(each) for each in step.candidates()]
    inner = [models, step.choose.folds] if step.choose else models[0]
    taught = [] if teacher is None else [teacher.identity]
    return [inner, step.seeds or [context.seed], table.fingerprint, folds.protocol, *taught]
