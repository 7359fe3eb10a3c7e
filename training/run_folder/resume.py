"""An interrupted training: the record that its folder begins with, and whether the same training can go on there.

``training.json`` is written before the first epoch: the settings that decide on the weights, and the pipeline that the
training is a step of. The same settings go on from the last checkpoint, others are refused, and a training that begins
anew removes what the interrupted one left.
"""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from emotions.errors import CheckpointError, ConfigError, OutputExists, first_line
from emotions.files.atomic import remove_left_over
from emotions.files.json_text import read_json, write_json
from emotions.pipeline.runner import Context
from training.config.architectures import with_defaults
from training.config.differences import differences
from training.config.evaluate import decisive
from training.config.train import TrainStep
from training.corpus import Corpus
from training.run_folder.layout import LAST, RUN_FILE, TRAINING_FILE
from training.run_folder.read import read_checkpoint

_ELSE = "begin anew with --fresh, or name another saved_checkpoints_path"


class TrainingRecord(BaseModel):
    """What the training in a folder is.

    Attributes:
        settings: all that decides on the weights: model, data, seed, checkpoint to start from.
        pipeline: the pipeline file as it is run, and ``position``: which of its steps this is, from 0.
        root: folder that relative paths start from.
    """

    model_config = ConfigDict(extra="forbid")

    format: Literal[1] = 1
    settings: dict[str, Any]
    pipeline: dict[str, Any]
    position: int = Field(ge=0)
    root: str

    @property
    def epochs(self) -> int:
        """How many epochs the training has at most."""
        return int(self.settings["learn_params"]["max_epoch"])


def record_of(step: TrainStep, context: Context, corpus: Corpus, start: Path | None) -> TrainingRecord:
    """The record of a training that is to run.

    Args:
        step: the ``train`` step.
        context: seed, pipeline and root.
        corpus: the data, its split, and the teacher.
        start: checkpoint that the step names to start from.
    """
    data: dict[str, Any] = {"dataset": corpus.table.fingerprint, "split": corpus.split.sha256}
    data |= {} if corpus.teacher is None else {"teacher": corpus.teacher.identity}
    settings = {**decisive(step), "seed": context.seed, **data, "start": None if start is None else str(start)}
    return TrainingRecord(settings=settings, pipeline=context.config, position=context.position, root=str(context.root))


def read_record(folder: Path) -> TrainingRecord:
    """Read the record in a run folder. Raises CheckpointError where there is none, or it is damaged."""
    path = folder / TRAINING_FILE
    if not path.is_file():
        raise CheckpointError(f"{folder}: holds no training that can go on (it has no {TRAINING_FILE})")
    try:
        record = TrainingRecord.model_validate(read_json(path))
    except (ConfigError, ValidationError) as error:
        raise CheckpointError(f"{path}: is damaged ({first_line(error)}); {_ELSE}") from error
    settings, key = record.settings, "model_architecture"
    if key not in settings:
        return record
    filled = {key: with_defaults(settings.get("model"), settings[key])}
    return record.model_copy(update={"settings": {**settings, **filled}})


def going_on_from(folder: Path, record: TrainingRecord) -> Path | None:
    """The last checkpoint in a folder, from which the same training goes on; None where no epoch was completed there.

    Args:
        folder: the run folder, not of a finished run.
        record: of the training that is to run.

    Raises:
        OutputExists: the folder holds another training, or one without a record.
    """
    last = folder / f"{LAST}.ckpt"
    if not last.is_file():
        return None
    if not (folder / TRAINING_FILE).is_file():
        raise OutputExists(
            f"{folder}: holds the interrupted training of an earlier release; go on from its {LAST}.ckpt with "
            f"saving_data_params.start_from_saved_checkpoint_path, {_ELSE}"
        )
    others = differences(read_record(folder).settings, record.settings)
    if others:
        raise OutputExists(f"{folder}: holds an interrupted training with other settings: {'; '.join(others)}; {_ELSE}")
    return last


def begin(folder: Path, record: TrainingRecord, start: Path | None) -> None:
    """Prepare a folder for a training: what others left is removed, and the record written.

    Args:
        folder: the run folder, locked.
        record: of the training.
        start: checkpoint that it goes on from; one in another folder, or None, begins anew.
    """
    remove_left_over(folder)
    ours = any((folder / name).exists() for name in (TRAINING_FILE, f"{LAST}.ckpt"))
    if ours and (start is None or start.parent != folder):
        for path in folder.glob("*.ckpt"):
            path.unlink(missing_ok=True)
        shutil.rmtree(folder / "logs", ignore_errors=True)
    (folder / RUN_FILE).unlink(missing_ok=True)  # of a finished run whose training goes on: not finished any more
    write_json(folder / TRAINING_FILE, record.model_dump(mode="json"))


def is_same_finished(folder: Path, record: TrainingRecord) -> bool:
    """Whether a folder holds this very training, finished.

    Args:
        folder: the run folder.
        record: of the training that is to run.
    """
    if not ((folder / RUN_FILE).is_file() and (folder / TRAINING_FILE).is_file()):
        return False
    return read_record(folder).settings == record.settings


def completed_epochs(folder: Path) -> int:
    """How many epochs the last checkpoint in a folder has; 0 without one."""
    last = folder / f"{LAST}.ckpt"
    return int(read_checkpoint(last)["epoch"]) + 1 if last.is_file() else 0


def progress_of(folder: Path) -> dict[str, int] | None:
    """Of a training that has not ended, how many epochs are complete, and ``of`` how many; None of any other folder.

    Raises CheckpointError where it is damaged.
    """
    if (folder / RUN_FILE).exists() or not (folder / f"{LAST}.ckpt").is_file():
        return None
    most = {"of": read_record(folder).epochs} if (folder / TRAINING_FILE).is_file() else {}
    return {"epochs": completed_epochs(folder), **most}


def kept_in(folder: Path, epochs: int) -> str:
    """What an interrupted training leaves, as the first half of a sentence.

    Args:
        folder: the run folder; the training may have ended just before.
        epochs: how many the training has at most.
    """
    if (folder / RUN_FILE).exists():
        return f"the run in {folder} is finished"
    done = completed_epochs(folder)
    if done == 0:
        return f"no epoch is complete, so that nothing is kept in {folder}"
    return f"{done} of {epochs} epochs are kept in {folder}"


def command_for(folder: Path, context: Context) -> str | None:
    """The command that goes on with an interrupted training, or after it; None for the same command as before.

    Args:
        folder: the run folder; the training may have ended just before.
        context: of the run.
    """
    if context.is_last and (folder / RUN_FILE).exists():  # the same command would be refused
        return shlex.join(["emotions", "export", "--run", str(folder)])
    named_by_time = bool(context.stamp) and context.stamp in str(folder)
    return shlex.join(["emotions", "train", "--resume", str(folder)]) if named_by_time else None


def resumed_pipeline(folder: Path) -> tuple[dict[str, Any], Path]:
    """The pipeline of an interrupted training with its folder as the place of the run, and its root.

    Args:
        folder: the run folder, which may have been moved.

    Raises:
        CheckpointError: there is no such training.
    """
    record = read_record(folder)
    steps = record.pipeline.get("pipeline")
    if not isinstance(steps, list) or record.position >= len(steps) or not isinstance(steps[record.position], dict):
        raise CheckpointError(f"{folder / TRAINING_FILE}: is damaged (it has no step {record.position})")
    saving = dict(steps[record.position].get("saving_data_params") or {})
    if saving.get("start_from_saved_checkpoint_path") is None:
        saving.pop("start_from_saved_checkpoint_path", None)
    saving["saved_checkpoints_path"] = [str(folder.absolute())]
    changed = [*steps]
    changed[record.position] = {**steps[record.position], "saving_data_params": saving}
    return {**record.pipeline, "pipeline": changed}, Path(record.root)
