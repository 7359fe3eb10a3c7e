"""The protocol ``cross_corpus`` of an ``evaluate`` step: corpora, trainings, audit, report."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from emotions.errors import ConfigError, DataError
from emotions.pipeline.interruption import keeping
from emotions.pipeline.runner import Context
from training.config.dataset import DatasetConfig
from training.config.evaluate import EvaluateStep, corpora_faults, decisive
from training.corpus import read_usable
from training.data.checks.leakage import audit
from training.data.joined import Corpus, joined
from training.data.waveforms.waveform_cache import WaveformCache
from training.evaluation.cross_corpus.plan import plan
from training.evaluation.cross_corpus.report import Evidence, write_report
from training.evaluation.protocols.fold_job import Shared, done_in, remove_unfinished
from training.evaluation.protocols.nested_selection import inner_splits, select_candidates
from training.evaluation.protocols.output import FOLDS, alone_in, check_step, output_folder
from training.evaluation.protocols.tasks import predictions_of, task_of
from training.features.teacher.audit import judged
from training.features.teacher.teacher import read_teacher
from training.models.shelf.optional import with_what_is_there


def cross_corpus(step: EvaluateStep, context: Context) -> Path:
    """Train on each corpus and test on each other, or resume that; the report's folder.

    Speakers of a corpus are tested by models of its other speakers, in folds; of three corpora or more each is also
    tested by a model of all the others.

    Args:
        step: model, corpora and settings.
        context: root, seed and workers.

    Raises:
        ConfigError: the step names no corpora, or what this protocol does without; and as ``cross_validate``.
        DataError: a corpus cannot be used, or they have no target or fewer than two labels in common.
    """
    for fault in corpora_faults(step.model_dump(mode="json", exclude_defaults=True)):
        raise ConfigError(f"{fault.where}: found {fault.found}; {fault.remedy}")
    trained, missing = with_what_is_there(step.training())
    configs, seeds = step.datasets(), step.seeds or [context.seed]
    check_step(trained)
    if any(config.dimensional for config in configs):
        raise ConfigError("dataset.targets: the protocol cross_corpus measures targets of labels, not dimensions")
    corpora = joined(_read(configs, context))
    table, split = corpora.table, step.dataset.split
    planned = plan(corpora, [config.split for config in configs], split, step.folds, seeds[0])
    splits = [each.split for each in planned.trainings]
    teacher = judged(read_teacher(step, context, table), table, corpora.facts, splits, split)
    checked = step.dataset.model_copy(update={"sentence": None, "recording": None})
    leaks = audit(table, corpora.facts, splits, checked, WaveformCache())
    leaks.raise_for(" and ".join(corpora.names))
    leaks.warn_of_voices()
    inner = inner_splits(table, splits, split, split.val_folds, seeds[0]) if split.val_folds else []
    taught = [] if teacher is None else [teacher.identity]
    content = [decisive(trained), seeds, table.fingerprint, [each.sha256 for each in splits], *taught]
    output = output_folder(step, context, content)
    every = (*splits, *itertools.chain.from_iterable(inner))
    shared = Shared((trained,), context, table, corpora.facts, every, output / FOLDS, teacher)
    with alone_in(output), keeping(lambda: f"{len(done_in(shared))} trainings are kept in {shared.folder}"):
        remove_unfinished(shared)
        selection = select_candidates(shared, 1, [*map(len, inner)], seeds[0], step.jobs) if inner else None
        tasks = [task_of(shared, number, 0, seed) for seed in seeds for number in range(len(splits))]
        predictions = predictions_of(shared, tasks, step.jobs, "Trainings")
        if selection:
            predictions = [replace(each, val=selection.out_of_fold(each.fold)) for each in predictions]
        evidence = Evidence(
            corpora=corpora, plan=planned, leaks=leaks, predictions=predictions, missing=missing, teacher=teacher
        )
        return write_report(output, step, evidence)


def _read(configs: Sequence[DatasetConfig], context: Context) -> list[Corpus]:
    found = []
    for number, config in enumerate(configs, 1):
        try:
            table, facts = read_usable(config, context)
        except DataError as error:
            raise DataError(f"corpora[{number - 1}]: {error}") from error
        found.append(Corpus(config, table, facts))
    return found
