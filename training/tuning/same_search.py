"""Which search a results folder holds: the same one goes on there, with more trials too; another one is refused."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from emotions.errors import CheckpointError, OutputExists
from emotions.pipeline.runner import Context
from training.config.differences import differences
from training.config.tune import TuneStep
from training.corpus import Corpus
from training.tuning.records import LOCK_FILE, SEARCH_FILE, Results, SearchRecord

_LOG = logging.getLogger(__name__)
_PLACES = ("cpus_per_trial", "gpus_per_trial", "ray_address", "storage_path", "checkpoints_save_threshold")
_IGNORED = {"name", "saving_data_params", "accelerator", "devices", "strategy"}


def _decisive(step: TuneStep) -> dict[str, Any]:
    """What determines the trials, without the places of files and the machines, and without their number."""
    content = step.model_dump(mode="json", exclude=_IGNORED)
    for name in (*_PLACES, "num_samples"):
        content["tune"].pop(name)
    if content["teacher"] is None:  # as in the keys of searches that were begun before there were any
        content.pop("teacher")
    if content["dataset"]["unlabelled"] is None:
        content["dataset"].pop("unlabelled")
    return content


def search_key(step: TuneStep, context: Context, corpus: Corpus, *, counts_samples: bool = False) -> str:
    """Hash of all that determines the trials of a search.

    Args:
        step: model, search spaces and settings.
        context: the seed.
        corpus: the data and its split.
        counts_samples: the number of trials, too, as releases before 0.2 did.
    """
    decisive = _decisive(step)
    if counts_samples:
        decisive["tune"]["num_samples"] = step.tune.num_samples
    taught = [] if corpus.teacher is None else [corpus.teacher.identity]
    content = [decisive, context.seed, corpus.table.fingerprint, corpus.split.sha256, *taught]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def results_folder(
    step: TuneStep, context: Context, record: SearchRecord, keys: Collection[str]
) -> tuple[Path, SearchRecord | None]:
    """The newest results folder of the same search with trials to run, and its record; else the one that is named.

    Args:
        step: names the folder.
        context: root of its path.
        record: of the search that is to run.
        keys: those that a record of the same search may have.
    """
    saving = step.saving_data_params
    parent = context.root.joinpath(*saving.tune_results_path)
    named = parent / "".join(saving.tune_results_dir)
    for path in sorted(parent.glob(f"*/{SEARCH_FILE}"), key=lambda path: path.stat().st_mtime_ns, reverse=True):
        try:
            found = Results(path.parent).read_search()
        except CheckpointError:
            continue
        if found.key in keys and (found.state != "finished" or found.num_samples < record.num_samples):
            if path.parent != named:
                _LOG.warning("going on with the same search, which was %s, in %s", _ended(found), path.parent)
            return path.parent, found
    return named, None


def _ended(found: SearchRecord) -> str:
    return f"finished with {found.num_samples} trials" if found.state == "finished" else "interrupted"


def check_same(results: Results, record: SearchRecord, keys: Collection[str]) -> None:
    """Refuse a folder with other content.

    Args:
        results: the folder.
        record: of the search that is to run.
        keys: those that a record of the same search may have.

    Raises:
        OutputExists: it holds something else, another search, or this one with no trial left.
    """
    inside = [path.name for path in results.folder.iterdir() if path.name != LOCK_FILE]
    if not inside:
        return
    where, other = results.folder, "name another saving_data_params.tune_results_dir"
    try:
        found = results.read_search()
    except CheckpointError as error:
        raise OutputExists(f"{where}: is not empty, and holds no search; {other}") from error
    if found.key not in keys:
        raise OutputExists(f"{where}: holds another search: {'; '.join(_differences(found, record))}; {other}")
    if found.state == "finished" and found.num_samples >= record.num_samples:
        more = f"raise tune.num_samples above {found.num_samples} to go on with it, or {other}"
        raise OutputExists(f"{where}: holds this search, finished with {found.num_samples} trials; {more}")
    begun = max((trial.number + 1 for trial in results.trials()), default=0)
    if record.num_samples < begun:
        raise OutputExists(
            f"{where}: holds this search with {begun} trials begun, and tune.num_samples is {record.num_samples}; "
            f"give at least {begun}, or {other}"
        )


def _differences(found: SearchRecord, record: SearchRecord) -> list[str]:
    """In what a search differs from the one that a folder holds: each value of then and of now."""
    try:
        before = _decisive(TuneStep.model_validate(found.step))
        now = _decisive(TuneStep.model_validate(record.step))
    except ValidationError:
        before, now = found.step, record.step
    told = differences({**before, "seed": found.seed}, {**now, "seed": record.seed})
    return told or ["the dataset's clips, labels or split are others"]
