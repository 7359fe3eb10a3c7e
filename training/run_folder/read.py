"""Read run folders and checkpoints. They are untrusted: no pickle is run, and every mismatch has its own message."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, Field, StrictStr, ValidationError
from torch import Tensor

from emotions.audio.windows import Pooling
from emotions.errors import CheckpointError, ConfigError, DataError, first_line
from emotions.files.atomic import locked
from emotions.files.json_text import read_json
from emotions.runtime.cores import available_cores
from training.config.dataset import DatasetConfig
from training.config.train import ModelSpec
from training.data.clips import ClipTable, read_clips
from training.data.split.splits import Split
from training.data.waveforms.usable import decode_usable
from training.features.teacher.teacher import TeacherSummary
from training.models.base import Classifier
from training.models.model_size import without_memory
from training.models.registry import build_model
from training.run_folder.frozen_encoder import FILE, encoder_hash, read_encoder
from training.run_folder.layout import (
    CHECKPOINT_FORMAT,
    CHECKPOINT_KEY,
    ENCODER_KEY,
    LAST,
    LOCK_FILE,
    RUN_FILE,
    SPLIT_FILE,
)

RUN_FORMAT = 1

_PREFIX = "model."
_FLOAT_BYTES = 4
_SMALL = 1 << 20
"""Parameters by which a model may be too large here: which weights are missing is said when they are loaded."""


@dataclass(frozen=True)
class Trained:
    """A trained model.

    Attributes:
        model: in evaluation mode, on the CPU.
        spec: how it is built.
        steps: optimiser steps that it was trained for, at least 1.
    """

    model: Classifier
    spec: ModelSpec
    steps: int


@dataclass(frozen=True)
class Run:
    """A run folder.

    Attributes:
        trained: the best checkpoint.
        metrics: part (``validation``, ``test``) -> target -> scores.
        protocol: how the parts were made, to be quoted with every figure.
        dataset: facts about the data, without names: fingerprint, clips, hours, license, split.
        config: config of the dataset, as the run was given it.
        root: folder that a relative dataset path starts from.
        search: search that the run is a trial of: spaces, trials, metric, seed; None for a ``train`` step.
        calibration: target -> temperature and calibration errors; empty where no validation clips were left.
        teacher: what it learnt from beside the labels, as ``TeacherSummary`` has it; None where nothing.
        pooling: the rule by which its figures were measured; ``mean`` where the run does not say it.
    """

    folder: Path
    trained: Trained
    metrics: dict[str, Any]
    protocol: str
    dataset: dict[str, Any]
    config: DatasetConfig
    root: Path
    search: dict[str, Any] | None = None
    calibration: dict[str, Any] = field(default_factory=dict)
    pooling: Pooling = "mean"
    teacher: dict[str, Any] | None = None

    @cached_property
    def table(self) -> ClipTable:
        """The usable clips, read again from their place. Raises DataError where they are gone, or others than then."""
        table = read_clips(self.config, self.root)
        known = self.dataset.get("fingerprint")
        if table.fingerprint == known:
            return table
        # The run's fingerprint is that of the clips which it could use.
        left, _ = decode_usable(table, self.config, available_cores())
        if left.fingerprint == known:
            return left
        raise DataError(f"{table.root}: is not the dataset that {self.folder} was trained on any more")

    @cached_property
    def split(self) -> Split:
        """The parts, as indices into ``table``. Raises as ``table`` does, or CheckpointError."""
        index = {clip.identity: number for number, clip in enumerate(self.table.clips)}
        path = self.folder / SPLIT_FILE
        stored = _read_object(path)
        try:
            parts = {part: tuple(index[name] for name in stored[part]) for part in ("train", "val", "test")}
            return Split(**parts, by=stored["by"], protocol=stored["protocol"], sha256=stored["sha256"])
        except (KeyError, TypeError) as error:
            raise CheckpointError(f"{path}: does not fit the dataset or is damaged ({error})") from error


class _Checkpoints(BaseModel):
    best: StrictStr


class _RunFile(BaseModel):
    """What a run folder's file must hold."""

    checkpoints: _Checkpoints
    dataset_config: DatasetConfig
    metrics: dict[str, Any]
    protocol: StrictStr
    dataset: dict[str, Any]
    root: StrictStr
    search: dict[str, Any] | None = None
    calibration: dict[str, Any] = Field(default_factory=dict)
    pooling: Pooling = "mean"
    teacher: TeacherSummary | None = None


def load_run(path: Path) -> Run:
    """Read a run folder and load its best checkpoint.

    Raises:
        CheckpointError: not a run folder, of another format, damaged, or its checkpoint cannot be used.
        OutputExists: another process is training in it.
    """
    refuse_running(path)
    if not (path / RUN_FILE).is_file() and [*path.glob("*.ckpt")]:
        raise CheckpointError(f"{path}: its training has not ended; train on from its {LAST}.ckpt first")
    index = _read_object(path / RUN_FILE)
    if index.get("format") != RUN_FORMAT:
        raise CheckpointError(f"{path / RUN_FILE}: has format {index.get('format')}, this release reads {RUN_FORMAT}")
    try:
        found = _RunFile.model_validate(index)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise CheckpointError(f"{path / RUN_FILE}: is damaged ({where}: {first['msg']})") from error
    best = found.checkpoints.best
    if Path(best).name != best:
        raise CheckpointError(f"{path / RUN_FILE}: names a checkpoint outside the run folder ({best})")
    return Run(
        path,
        load_checkpoint(path / best),
        metrics=found.metrics,
        protocol=found.protocol,
        dataset=found.dataset,
        config=found.dataset_config,
        root=Path(found.root),
        search=found.search,
        calibration=found.calibration,
        pooling=found.pooling,
        teacher=None if found.teacher is None else found.teacher.model_dump(mode="json"),
    )


def refuse_running(folder: Path) -> None:
    """Raise OutputExists where another process is training in a folder."""
    if (folder / LOCK_FILE).exists():
        with locked(folder / LOCK_FILE, f"{folder}: another process is training in it; wait for its end"):
            pass


def _read_object(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CheckpointError(f"{path.parent}: is not a run folder (it has no {path.name})")
    try:
        value = read_json(path)
    except ConfigError as error:
        raise CheckpointError(str(error)) from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: is damaged (not a JSON object)")
    return value


def load_checkpoint(path: Path) -> Trained:
    """Load the model of a checkpoint. Nothing in the file is run as code.

    Raises:
        CheckpointError: the file is missing, broken, from elsewhere, of another format, has weights that do not fit or
            are not numbers, or records no training.
    """
    checkpoint = read_checkpoint(path)
    spec = _spec(path, checkpoint)
    steps = checkpoint.get("global_step")
    if not isinstance(steps, int) or steps < 1:
        raise CheckpointError(f"{path}: records no optimiser step, so its model was never trained")
    encoder = checkpoint[CHECKPOINT_KEY].get(ENCODER_KEY)
    frozen = {} if encoder is None else read_encoder(path)
    try:
        _check_size(path, spec)
        model = build_model(spec)
    except ConfigError as error:
        raise CheckpointError(f"{path}: its model cannot be built ({error})") from error
    _load_weights(path, model, checkpoint.get("state_dict"), frozen)
    if encoder is not None and encoder_hash(model) != encoder:
        raise CheckpointError(f"{path}: was trained with another encoder than the one in {FILE} beside it")
    return Trained(model.eval(), spec, steps)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint's dictionary on the CPU, tensors and plain values alone. Raises CheckpointError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle's protocol: what cannot be read is refused below
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such checkpoint") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from error
    except Exception as error:
        raise CheckpointError(
            f"{path}: is not a checkpoint of plain tensors, or is cut off ({type(error).__name__}); "
            "nothing in it was run"
        ) from error
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get(CHECKPOINT_KEY), dict):
        raise CheckpointError(f"{path}: was not written by this toolkit (it has no {CHECKPOINT_KEY!r} entry)")
    return checkpoint


def last_state(folder: Path) -> tuple[str, dict[str, list[float | None]]]:
    """File name of a run's best checkpoint, and metric -> value after each epoch, as its last checkpoint has them."""
    callbacks = read_checkpoint(folder / f"{LAST}.ckpt")["callbacks"]
    best = next(state["best_model_path"] for name, state in callbacks.items() if name.startswith("BestCheckpoint"))
    return Path(best).name, callbacks["History"]["metrics"]


def _spec(path: Path, checkpoint: Mapping[str, Any]) -> ModelSpec:
    entry = checkpoint[CHECKPOINT_KEY]
    if entry.get("format") != CHECKPOINT_FORMAT:
        raise CheckpointError(
            f"{path}: has checkpoint format {entry.get('format')}, this release reads {CHECKPOINT_FORMAT}"
        )
    try:
        return ModelSpec.model_validate_json(entry.get("spec") or "")
    except ValidationError as error:
        raise CheckpointError(f"{path}: its model description is damaged ({first_line(error)})") from error


def _check_size(path: Path, spec: ModelSpec) -> None:
    """Raise ConfigError where a model has far more parameters than the files of its weights can hold."""
    if spec.encoder is None and spec.architecture.get("encoder"):
        return  # the encoder is loaded from its own checkpoint, and checked there
    files = [file for file in (path, path.parent / FILE) if file.is_file()]
    without_memory(lambda: build_model(spec), sum(file.stat().st_size for file in files) // _FLOAT_BYTES + _SMALL)


def _load_weights(path: Path, model: Classifier, state: object, encoder: Mapping[str, Tensor]) -> None:
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: holds no weights")
    own = {name.removeprefix(_PREFIX): value for name, value in state.items() if name.startswith(_PREFIX)}
    weights = {**own, **encoder}
    expected = model.state_dict()
    unknown = [name for name in (*state, *encoder) if name.removeprefix(_PREFIX) not in expected]
    misfits = [name for name, value in expected.items() if not _fits(weights.get(name), value)]
    if unknown or misfits:
        raise CheckpointError(f"{path}: its weights do not fit its model ({_some([*misfits, *unknown])})")
    not_finite = [name for name, value in weights.items() if not torch.isfinite(value).all()]
    if not_finite:
        raise CheckpointError(f"{path}: holds weights that are NaN or infinite ({_some(not_finite)}); train again")
    model.load_state_dict(weights, strict=True)


def _fits(value: object, expected: Tensor) -> bool:
    return isinstance(value, Tensor) and value.shape == expected.shape and value.dtype == expected.dtype


def _some(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
