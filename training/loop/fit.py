"""Train a model as a ``train`` step says, and write its run folder."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from emotions.audio.windows import FloatArray, IntArray
from emotions.errors import CheckpointError, ConfigError, DiskFull, OutputExists, first_part
from emotions.files.atomic import locked, room_for
from emotions.pipeline.energy.grid import check_energy
from emotions.pipeline.interruption import keeping
from emotions.pipeline.runner import Context
from training.config.architectures import with_defaults
from training.config.learning import LearnParams
from training.config.train import ModelSpec, TrainStep
from training.corpus import Corpus, read_corpus
from training.data.clips import ClipTable
from training.data.split.units import units_of
from training.data.waveforms.dataset import NO_LABEL
from training.loop.ddp import train_in_processes
from training.loop.job import Job, outcome, seeded_model, train
from training.loop.loaders import check_shares
from training.loop.out_of_fold import out_of_fold
from training.loop.precompute import precomputed
from training.loop.score import ClipPredictions, Units, calibrated, evaluate, score_predictions
from training.loop.value_scores import calibrated_values, score_dimensions, truth_of, values_of
from training.metrics.classification import Scores
from training.metrics.surest_errors import surest_errors
from training.models.base import Classifier
from training.models.registry import pinned
from training.models.shelf.optional import with_what_is_there
from training.run_folder.energy import ENTRY, energy_of_run, measured_part
from training.run_folder.frozen_encoder import encoder_hash, write_encoder
from training.run_folder.layout import LOCK_FILE, RUN_FILE
from training.run_folder.read import load_checkpoint, read_checkpoint
from training.run_folder.resume import begin, command_for, going_on_from, is_same_finished, kept_in, record_of
from training.run_folder.trackers import add_pictures, check_installed, warn_of
from training.run_folder.write import Result, print_summary, write_run

_LOG = logging.getLogger(__name__)


def fit(step: TrainStep, context: Context) -> Path:
    """Train a model, write its run folder, and return the folder.

    Args:
        step: model, data, settings and output.
        context: root, seed, workers and the resolved config.

    Raises:
        OutputExists: there is a finished run in the folder, or another process trains in it.
        DataError: the dataset cannot be used.
        ConfigError: the model cannot be built or trained so, or training diverged.
        CheckpointError: the checkpoint to start from is broken, or of another model.
        DeviceError: the accelerator asked for cannot be used.
    """
    check_installed(step.saving_data_params.loggers)
    check_energy(step.saving_data_params.energy)
    folder, start = check_places(step, context)
    step, missing = with_what_is_there(step)
    corpus = read_corpus(step, context)
    _check_targets(corpus, step.learn_params)
    check_shares(corpus, step.learn_params.batch_size, _processes_of(step))
    job = Job(step, context, corpus, folder, start, missing=missing)
    model = seeded_model(job)
    if start is not None:
        _check_start(start, corpus.spec, model, step.learn_params.max_epoch)
    refusal = f"{folder}: another process is training in it; wait for its end, or name another saved_checkpoints_path"
    with keeping(lambda: kept_in(folder, step.learn_params.max_epoch), lambda: command_for(folder, context)):
        with locked(folder / LOCK_FILE, refusal):
            try:
                result = _trained(job, model)
            finally:
                (folder / LOCK_FILE).unlink(missing_ok=True)
        if result is None:
            _LOG.warning("%s: holds this very training, finished; it is used as it is", folder)
        else:
            print_summary(folder, step, context, corpus, result)
    return folder


def check_places(step: TrainStep, context: Context) -> tuple[Path, Path | None]:
    """The run folder, and the checkpoint that the step names to start from.

    Args:
        step: names them.
        context: root, and whether a step comes after this one, which may use a run that is finished.

    Raises:
        OutputExists: the folder holds a finished run.
        CheckpointError: there is no such checkpoint.
    """
    saving = step.saving_data_params
    folder, named = context.root.joinpath(*saving.saved_checkpoints_path), saving.start_from_saved_checkpoint_path
    start = None if named is None else context.root.joinpath(*named)
    if context.is_last and (start is None or start.parent != folder):
        _refuse_finished(folder)
    if start is not None and not start.is_file():
        raise CheckpointError(f"{start}: no such checkpoint")
    return folder, start


def _refuse_finished(folder: Path) -> None:
    if (folder / RUN_FILE).exists():
        raise OutputExists(f"{folder}: holds a finished run; name another saved_checkpoints_path")


def _trained(job: Job, model: Classifier) -> Result | None:
    """Train in the job's folder, which is locked, and complete it; None where that was done before."""
    step, context, folder = job.step, job.context, job.folder
    record = record_of(step, context, job.corpus, job.start)
    epochs = step.learn_params.max_epoch
    if job.start is None or job.start.parent != folder:
        if not context.is_last and not context.fresh and is_same_finished(folder, record):
            return None
        _refuse_finished(folder)
        anew = context.fresh or (job.start is None and "start_from_saved_checkpoint_path" in _written(step))
        last = None if anew else going_on_from(folder, record)
        if last is not None:
            _check_model(last, job.corpus.spec, model)
            _LOG.warning("going on with the interrupted training: %s", kept_in(folder, epochs))
            job = replace(job, start=last)
    try:
        with room_for(folder):
            begin(folder, record, job.start)
            write_encoder(folder, model)
            resumed = job.start is not None and job.start.parent == folder
            with measured_part(folder, step.saving_data_params.energy, resumed=resumed):
                job = replace(job, corpus=precomputed(job.corpus, step, model))
                _train(job, model)
            result = conclude(job)
            warn_of(add_pictures(folder))
            return result
    except DiskFull as error:
        again = command_for(folder, context)
        then = f"then: {again}" if again else "then the same command goes on"
        raise DiskFull(f"{first_part(error)}; {kept_in(folder, epochs)}: make room, {then}") from error


def _written(step: TrainStep) -> set[str]:
    """The keys that ``saving_data_params`` was given."""
    return step.saving_data_params.model_fields_set


def _check_targets(corpus: Corpus, learn: LearnParams) -> None:
    """Refuse weights of targets that the data does not have."""
    targets = corpus.spec.targets
    where = "learn_params.target_weights"
    unknown = [target for target in learn.target_weights if target not in targets]
    if unknown:
        raise ConfigError(f"{where}: found {', '.join(unknown)}; the targets are {', '.join(targets)}")
    if learn.sampling == "balanced" and not corpus.spec.labels:
        raise ConfigError("learn_params.sampling: balanced draws by labels, and this data has dimensions alone")
    if not any(learn.target_weights.get(target, 1.0) for target in targets):
        raise ConfigError(f"{where}: every target weighs 0, so nothing would be learnt")


def _check_model(path: Path, spec: ModelSpec, model: Classifier) -> None:
    """Refuse a checkpoint of another model, and one that training cannot go on from."""
    trained, checkpoint = load_checkpoint(path), read_checkpoint(path)
    stored, asked = trained.spec.model_dump(exclude={"encoder"}), spec.model_dump(exclude={"encoder"})
    stored["architecture"] = with_defaults(trained.spec.model, stored["architecture"])
    differences = "; ".join(
        f"{key} is {stored[key]}, the config and data give {value}"
        for key, value in asked.items()
        if stored[key] != value
    )
    if differences:
        raise CheckpointError(f"{path}: is of another model: {differences}")
    if pinned(spec, model).encoder != trained.spec.encoder or encoder_hash(model) != encoder_hash(trained.model):
        raise CheckpointError(f"{path}: was trained with another encoder than {spec.architecture['encoder']} is now")
    if not checkpoint.get("optimizer_states") or not isinstance(checkpoint.get("epoch"), int):
        raise CheckpointError(f"{path}: has no optimiser state, so training cannot go on from it")


def _check_start(path: Path, spec: ModelSpec, model: Classifier, max_epoch: int) -> None:
    """Refuse a checkpoint of another model, and one that has been trained to the end."""
    _check_model(path, spec, model)
    epochs = int(read_checkpoint(path)["epoch"]) + 1
    if epochs >= max_epoch:
        raise ConfigError(
            f"{path}: has been trained for {epochs} epochs already; "
            f"raise learn_params.max_epoch above that (now {max_epoch})"
        )


def _train(job: Job, model: Classifier) -> None:
    """Train on this machine or on Ray, in one process or in several."""
    if job.step.engine == "ray":
        from training.loop.ray_train import train_on_ray

        train_on_ray(job)
    elif _processes_of(job.step) > 1:
        train_in_processes(job, _processes_of(job.step))
    else:
        train(job, model)


def _processes_of(step: TrainStep) -> int:
    """Number of processes that train a step together."""
    if step.engine == "ray":
        return step.ray.workers
    return 1 if step.devices == "auto" else step.devices


def conclude(job: Job, extra: Mapping[str, Any] | None = None, validation: dict[str, Scores] | None = None) -> Result:
    """Score the best checkpoint on the validation and the test part, and complete the run folder.

    Args:
        job: the training, finished.
        extra: more entries for the run folder's index.
        validation: scores on the validation part, where the model was trained on it and it cannot be measured.
    """
    trained, result = outcome(job)
    spec, corpus = trained.spec, job.corpus
    targets = spec.labels
    predictions = {"test": evaluate(trained.model, corpus.test)} if corpus.test is not None else {}
    calibration: dict[str, Any] = {}
    if validation is None:
        clips, val = _validated(job, trained.model)
        units, unit = units_of(corpus.table)
        linear = calibrated_values(val, spec, units[list(clips)])
        # Before the calibration that was fitted on these very clips.
        validation = {**score_predictions(val, targets), **score_dimensions(val, spec, units[list(clips)])}
        spoken = Units(units[list(clips)], units[list(corpus.split.test)], unit)
        calibration = calibrated(val, predictions.get("test"), targets, spoken)
        part, judged = (corpus.split.test, predictions["test"]) if predictions else (clips, val)
        result.errors.update(_surest(corpus.table, np.array(part), judged, calibration))
        calibration |= linear
        result.values.update({name: _pairs(judged, name, spec, linear) for name in spec.ranges})
    result.metrics["validation"] = validation
    spoken_by = units_of(corpus.table)[0][list(corpus.split.test)]
    for part_name, each in predictions.items():
        values = score_dimensions(each, spec, spoken_by, calibration)
        result.metrics[part_name] = {**score_predictions(each, targets), **values}
    about = {"calibration": calibration, **({"missing": job.missing} if job.missing else {}), **(extra or {})}
    if (energy := energy_of_run(job.folder)) is not None:
        about[ENTRY] = energy.model_dump(mode="json")
    write_run(job.folder, job.step, job.context, replace(corpus, spec=trained.spec), result, about)
    return result


def _pairs(
    predictions: ClipPredictions, target: str, spec: ModelSpec, calibration: Mapping[str, Any]
) -> tuple[FloatArray, FloatArray]:
    """The truth and the answers of the clips of a part, for pictures."""
    return truth_of(predictions, target, spec), values_of(predictions, target, spec, calibration)


def _validated(job: Job, model: Classifier) -> tuple[Sequence[int], ClipPredictions]:
    """Indices of the clips that validate, and what is predicted for them: by the model, or without its having them."""
    if job.corpus.val is not None:
        return job.corpus.split.val, evaluate(model, job.corpus.val)
    return job.corpus.split.train, out_of_fold(job)


def _surest(
    table: ClipTable, part: IntArray, predictions: ClipPredictions, calibration: Mapping[str, Any]
) -> dict[str, list[dict[str, Any]]]:
    """Target -> the errors on the clips of a part that the calibrated model is surest of, without names."""
    found = {}
    for target, fitted in calibration.items():
        truth, at = predictions.labelled(target, predictions.truth[target])
        clips = part[predictions.clips[predictions.truth[target] != NO_LABEL]]
        if len(clips):
            probabilities = at(fitted["temperature"])
            found[target] = surest_errors(table, clips, truth, probabilities, table.labels(target), names=False)
    return found
