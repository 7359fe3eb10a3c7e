"""The results folder of a search on disk: JSON files, each written atomically.

search.json   the search and its settings   trials/0007/trial.json   a trial: values, metrics, state
search.lock   held by a running search      trials/0007/             its run folder, as a train step writes it
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from emotions.errors import CheckpointError, ConfigError
from emotions.files.atomic import locked
from emotions.files.json_text import read_json, write_json
from training.cluster.storage import Storage
from training.run_folder.layout import RUN_FILE

SEARCH_FILE, TRIAL_FILE, LOCK_FILE, TRIALS = "search.json", "trial.json", "search.lock", "trials"
_MAX_BYTES = 64 << 20  # a results folder may come from elsewhere: a huge file must not fill the memory

State = Literal["running", "done", "stopped", "failed"]
"""``done``: trained to the end; ``stopped``: ended early by the scheduler; ``failed``: see the reason."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, protected_namespaces=())


class SearchRecord(_Record):
    """A search and its settings.

    Attributes:
        key: hash of all that determines the trials: a search that is resumed must have the same.
        spaces: dotted path -> search space.
        metric: what trials are compared by; ``mode``: whether more or less of it is better.
        sampler: ``random``, or ``optuna`` with early stopping.
        seed: seed of the draws, the split and the trainings.
        threshold: trials whose metric reaches it keep their checkpoints, as the best one does.
        protocol: how the data was split, to be quoted with every figure.
        step: the ``tune`` step as it was given; ``root``: folder that its relative paths start from.
        state: ``finished`` once every trial has ended.
    """

    format: Literal[1] = 1
    key: str
    model: str
    spaces: dict[str, dict[str, Any]]
    metric: str
    mode: Literal["max", "min"]
    num_samples: int = Field(ge=1)
    max_epochs: int = Field(ge=1)
    sampler: Literal["random", "optuna"]
    seed: int
    threshold: float | None
    protocol: str
    step: dict[str, Any]
    root: str
    state: Literal["running", "interrupted", "finished"] = "running"

    def group(self, folder: Path) -> str:
        """What trackers gather the trials under.

        Args:
            folder: the results folder.
        """
        return f"{folder.name}-{self.key[:8]}"

    def reaches_threshold(self, value: float) -> bool:
        """Whether a value of the metric is as good as the threshold."""
        if self.threshold is None:
            return False
        return value >= self.threshold if self.mode == "max" else value <= self.threshold


class TrialRecord(_Record):
    """One trial.

    Attributes:
        values: dotted path -> value that was drawn.
        state: ``running``, or how it ended; ``reason``: why it failed.
        history: metric -> value after each epoch; None where it was not measured.
        seconds: training time, over all attempts.
        parameters: number of weights that train.
        checkpoint: file name of the best checkpoint in its folder, while it is kept.
        worker: id of the Ray node that it ran on last.
    """

    number: int = Field(ge=0)
    values: dict[str, Any]
    state: State = "running"
    reason: str | None = None
    history: dict[str, list[float | None]] = {}
    seconds: float = Field(default=0.0, ge=0)
    parameters: int = Field(default=0, ge=0)
    checkpoint: str | None = None
    worker: str | None = None

    @property
    def epochs(self) -> int:
        """Number of epochs trained."""
        return max((len(values) for values in self.history.values()), default=0)

    @property
    def ended(self) -> bool:
        """Whether training is over."""
        return self.state != "running"

    def best(self, search: SearchRecord) -> tuple[int, float] | None:
        """Best epoch, from 0, and its metric; None before the first validation."""
        history = self.history.get(search.metric, [])
        measured = [(epoch, value) for epoch, value in enumerate(history) if value is not None]
        sign = 1 if search.mode == "max" else -1
        return max(measured, key=lambda each: sign * each[1], default=None)  # of equals the first


class Results:
    """A results folder; through ``storage`` the trials' folders are exchanged, where the nodes do not share it."""

    def __init__(self, folder: Path, storage: Storage | None = None) -> None:
        self.folder, self._storage = folder, storage

    def trial_folder(self, number: int) -> Path:
        """The run folder of a trial."""
        return self.folder / TRIALS / f"{number:04d}"

    def read_search(self) -> SearchRecord:
        """Read the search. Raises CheckpointError where there is none, or it is damaged."""
        path = self.folder / SEARCH_FILE
        if not path.is_file():
            why = "no such folder" if not self.folder.is_dir() else f"it has no {SEARCH_FILE}"
            raise CheckpointError(f"{self.folder}: is not the results folder of a search ({why})")
        search: SearchRecord = _read(path, SearchRecord)
        return search

    def write_search(self, search: SearchRecord) -> None:
        """Write the search."""
        write_json(self.folder / SEARCH_FILE, search.model_dump(mode="json"))

    def read_trial(self, number: int) -> TrialRecord | None:
        """Read a trial; None where it has not started. Raises CheckpointError."""
        path = self.trial_folder(number) / TRIAL_FILE
        return _read(path, TrialRecord) if path.is_file() else None

    def write_trial(self, trial: TrialRecord) -> None:
        """Write a trial."""
        write_json(self.trial_folder(trial.number) / TRIAL_FILE, trial.model_dump(mode="json"))

    def trials(self) -> list[TrialRecord]:
        """Every trial that has started, by number. Raises CheckpointError."""
        found = [_read(path, TrialRecord) for path in sorted((self.folder / TRIALS).glob(f"[0-9]*/{TRIAL_FILE}"))]
        return sorted(found, key=lambda trial: trial.number)

    def ranked(self, search: SearchRecord) -> list[TrialRecord]:
        """The trials, best first, those without a metric last; of equals the earlier first."""

        def rank(trial: TrialRecord) -> tuple[int, float]:
            best = trial.best(search)
            if best is None or trial.state == "failed":
                return (1, 0.0)
            return (0, -best[1] if search.mode == "max" else best[1])

        return sorted(self.trials(), key=rank)

    def best_run(self) -> Path:
        """The run folder of the best trial whose checkpoint is kept. Raises CheckpointError where there is none."""
        search = self.read_search()
        for trial in self.ranked(search):
            folder = self.trial_folder(trial.number)
            if trial.state in ("done", "stopped") and trial.checkpoint is not None and (folder / RUN_FILE).is_file():
                return folder
        raise CheckpointError(
            f"{self.folder}: no trial of this search can be used yet; start the search again, it goes on where it was"
        )

    def fetch(self, number: int | None = None, *, record_only: bool = False) -> None:
        """Download trials from the storage; does nothing where there is none. Raises StorageLost.

        Args:
            number: the trial; None for all.
            record_only: leave the checkpoints out.
        """
        if self._storage is None:
            return
        names = self._storage.names() if number is None else [self.trial_folder(number).name]
        for name in names:
            self._storage.download(name, self.folder / TRIALS / name, TRIAL_FILE if record_only else None)

    def publish(self, number: int) -> None:
        """Upload a trial to the storage; does nothing where there is none. Raises StorageLost."""
        folder = self.trial_folder(number)
        if self._storage is not None:
            self._storage.upload(folder, folder.name, last=TRIAL_FILE)

    def release(self, number: int) -> None:
        """Remove the local copy of an uploaded trial; does nothing where there is no storage."""
        if self._storage is not None:
            shutil.rmtree(self.trial_folder(number), ignore_errors=True)

    def locked(self) -> AbstractContextManager[None]:
        """Lock the folder for one search. Raises OutputExists where another process holds it."""
        return locked(self.folder / LOCK_FILE, f"{self.folder}: another search is running in it")


def _read(path: Path, kind: Any) -> Any:
    if path.stat().st_size > _MAX_BYTES:
        raise CheckpointError(f"{path}: is too large for the record of a search")
    try:
        return kind.model_validate(read_json(path))
    except (ConfigError, ValidationError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise CheckpointError(f"{path}: is damaged ({reason})") from error


def flattened(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by the last part of their dotted path, or by the whole path where two share that part."""
    short = [path.rpartition(".")[2] for path in values]
    return {name if short.count(name) == 1 else path: values[path] for name, path in zip(short, values, strict=True)}


def shown(value: Any) -> str:
    """A drawn value as text, floats with three significant digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
