"""Refit: train the best trial's values again, on the training and the validation part together."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from emotions.errors import CheckpointError
from emotions.files.json_text import read_json
from emotions.pipeline.runner import Context
from training.config.train import TrainStep
from training.config.tune import TuneStep
from training.corpus import read_corpus
from training.loop.fit import conclude
from training.loop.job import Job, seeded_model, train
from training.loop.precompute import precomputed
from training.run_folder.energy import measured_part
from training.run_folder.frozen_encoder import write_encoder
from training.run_folder.layout import RUN_FILE
from training.run_folder.trackers import add_pictures, warn_of
from training.tuning.records import Results
from training.tuning.spaces import train_step


def refit(folder: Path, context: Context) -> Path:
    """Train the best trial's values for ``learn_params.max_epoch`` epochs on all but the test part; the run folder.

    The last epoch is kept: there is no validation part to select one by. The run's validation scores are the trial's.

    Args:
        folder: the results folder of a search.
        context: workers; the search's own root and seed are used.

    Raises:
        CheckpointError: no trial of the search can be used, or its record is damaged.
        DataError: the dataset is gone, or has changed.
    """
    results = Results(folder)
    record, best = results.read_search(), results.best_run()
    index = read_json(best / RUN_FILE)
    run = folder / "refit"
    shutil.rmtree(run, ignore_errors=True)
    context = Context(Path(record.root), record.seed, context.workers, context.config, quiet=context.quiet)
    step = train_step(_tune_step(record.step, folder), index["search"]["values"])
    saving = step.saving_data_params.model_copy(
        update={"saved_checkpoints_path": [str(run)], "saved_checkpoints_filename": ["last_epoch"]}
    )
    step = step.model_copy(update={"saving_data_params": saving})
    job = _job(step, context, run, index["dataset"]["fingerprint"], record.group(folder))
    model = seeded_model(job)
    write_encoder(run, model)
    with measured_part(run, saving.energy, resumed=False):
        train(job, model)
    conclude(job, {"search": {**index["search"], "refit": True}}, validation=index["metrics"]["validation"])
    warn_of(add_pictures(run))
    return run


def _tune_step(raw: dict[str, Any], folder: Path) -> TuneStep:
    try:
        return TuneStep.model_validate(raw)
    except ValidationError as error:
        raise CheckpointError(f"{folder}: the step of this search is damaged ({error.errors()[0]['msg']})") from error


def _job(step: TrainStep, context: Context, run: Path, fingerprint: str, group: str) -> Job:
    corpus = read_corpus(step, context, whole=True)
    if corpus.table.fingerprint != fingerprint:
        raise CheckpointError(f"{corpus.table.root}: is not the dataset that was searched on any more")
    return Job(step, context, precomputed(corpus, step), run, None, newest=True, group=group)
