"""Trackers beside TensorBoard: MLflow and Weights & Biases by Lightning's loggers, Trackio by one of ours."""

from __future__ import annotations

import sys
import uuid
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from training.config.train import TrainStep
from training.run_folder.trackers import (
    PROJECT,
    SEARCH_TAG,
    mlflow_experiment,
    remember_runs,
    runs_of,
    tracking_uri,
)


class TrackioLogger(Logger):
    """A run of Trackio, which Lightning has no logger for.

    Args:
        run: its name.
        group: of runs that belong together; None for none.
    """

    def __init__(self, run: str, group: str | None = None) -> None:
        super().__init__()
        self._run: Any = None
        self._parameters: dict[str, Any] = {}
        self._name, self._group = run, group

    @property
    def name(self) -> str:
        """The project."""
        return PROJECT

    @property
    def version(self) -> str:
        """The run."""
        return self._name

    @property
    def experiment(self) -> Any:
        """The run, opened at its first use."""
        if self._run is None:
            import trackio

            self._run = trackio.init(
                project=PROJECT,
                name=self._name,
                group=self._group,
                resume="allow",
                config=self._parameters,
                embed=False,
            )
        return self._run

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *_: Any, **__: Any) -> None:
        """Keep parameters, which Trackio takes as a run's configuration when the run is opened."""
        self._parameters = dict(vars(params) if isinstance(params, Namespace) else params)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log figures of a step."""
        self.experiment.log(dict(metrics), step)

    @rank_zero_only
    def finalize(self, status: str) -> None:  # noqa: ARG002  # Lightning's signature
        """End the run, whatever the status."""
        if self._run is not None:
            self._run.finish()
            self._run = None


def tracker_loggers(step: TrainStep, folder: Path, group: str | None = None) -> list[Logger]:
    """The loggers of the trackers that a step names, with its parameters logged; those of a run that goes on again.

    Args:
        step: names them.
        folder: the run folder, which remembers their runs.
        group: the search that the run belongs to; None for a run of its own.
    """
    names = step.saving_data_params.loggers
    if not names:
        return []
    before, runs, loggers = runs_of(folder), dict[str, str](), list[Logger]()
    parameters = step.model_dump(mode="json", exclude={"saving_data_params"})
    title = f"{group}-{folder.name}" if group else step.name or folder.name
    for name in names:
        logger = _MAKING[name](title, folder, before.get(name), group)
        logger.log_hyperparams(parameters)
        runs[name] = str(logger.version)
        loggers.append(logger)
    remember_runs(folder, runs)
    return loggers


def end_runs() -> None:
    """End the run of Weights & Biases that this process has open: the next training in it would go on in that one."""
    wandb = sys.modules.get("wandb")
    if wandb is not None and wandb.run is not None:
        wandb.finish()


def _mlflow(name: str, _: Path, run: str | None, group: str | None) -> Logger:
    from lightning.pytorch.loggers import MLFlowLogger

    tags = {SEARCH_TAG: group} if group else None
    return MLFlowLogger(mlflow_experiment(), run_name=name, tracking_uri=tracking_uri(), run_id=run, tags=tags)


def _wandb(name: str, folder: Path, run: str | None, group: str | None) -> Logger:
    from lightning.pytorch.loggers import WandbLogger

    version = run or uuid.uuid4().hex[:12]
    return WandbLogger(name, save_dir=folder, version=version, project=PROJECT, resume="allow", group=group)


def _trackio(name: str, _: Path, run: str | None, group: str | None) -> Logger:
    return TrackioLogger(run or f"{name}-{uuid.uuid4().hex[:8]}", group)


_MAKING: Mapping[str, Callable[[str, Path, str | None, str | None], Logger]] = {
    "mlflow": _mlflow,
    "wandb": _wandb,
    "trackio": _trackio,
}
