"""Trackers beside TensorBoard: MLflow and Weights & Biases by Lightning's loggers, Trackio by one of ours."""

from __future__ import annotations

import uuid
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from training.config.train import TrainStep
from training.run_folder.trackers import PROJECT, mlflow_experiment, remember_runs, runs_of, tracking_uri


class TrackioLogger(Logger):
    """A run of Trackio, which Lightning has no logger for.

    Args:
        run: its name.
    """

    def __init__(self, run: str) -> None:
        super().__init__()
        self._run: Any = None
        self._parameters: dict[str, Any] = {}
        self._name = run

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
                project=PROJECT, name=self._name, resume="allow", config=self._parameters, embed=False
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


def tracker_loggers(step: TrainStep, folder: Path) -> list[Logger]:
    """The loggers of the trackers that a step names, with its parameters logged; those of a run that goes on again.

    Args:
        step: names them.
        folder: the run folder, which remembers their runs.
    """
    names = step.saving_data_params.loggers
    if not names:
        return []
    before, runs, loggers = runs_of(folder), dict[str, str](), list[Logger]()
    parameters = step.model_dump(mode="json", exclude={"saving_data_params"})
    for name in names:
        logger = _MAKING[name](step.name or folder.name, folder, before.get(name))
        logger.log_hyperparams(parameters)
        runs[name] = str(logger.version)
        loggers.append(logger)
    remember_runs(folder, runs)
    return loggers


def _mlflow(name: str, _: Path, run: str | None) -> Logger:
    from lightning.pytorch.loggers import MLFlowLogger

    return MLFlowLogger(mlflow_experiment(), run_name=name, tracking_uri=tracking_uri(), run_id=run)


def _wandb(name: str, folder: Path, run: str | None) -> Logger:
    from lightning.pytorch.loggers import WandbLogger

    return WandbLogger(name, save_dir=folder, version=run or uuid.uuid4().hex[:12], project=PROJECT, resume="allow")


def _trackio(name: str, _: Path, run: str | None) -> Logger:
    return TrackioLogger(run or f"{name}-{uuid.uuid4().hex[:8]}")


_MAKING: Mapping[str, Callable[[str, Path, str | None], Logger]] = {
    "mlflow": _mlflow,
    "wandb": _wandb,
    "trackio": _trackio,
}
