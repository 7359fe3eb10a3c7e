"""Runs of experiment trackers that belong to a run folder: which they are, and what is added to them afterwards.

A tracker's package is imported only where its name is in ``saving_data_params.loggers``.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from emotions.errors import ConfigError, first_line
from emotions.files.json_text import read_json, write_json

PROJECT = "emotions"
"""Name of the experiment, or project, of all runs; MLflow's own variable goes before it."""
SEARCH_TAG = "emotions.search"
"""Tag of MLflow's runs that are trials: the name of their search."""
TRACKERS_FILE = "trackers.json"
_LOG = logging.getLogger("emotions")


def check_installed(loggers: Iterable[str]) -> None:
    """Refuse trackers whose packages are not installed, before anything is computed.

    Args:
        loggers: names of packages.

    Raises:
        ConfigError: one is not installed.
    """
    for name in loggers:
        if find_spec(name) is None:
            raise ConfigError(f"saving_data_params.loggers: {name} is not installed: pip install {name}")


def prepare(loggers: Iterable[str]) -> None:
    """Make what processes that train at once would all make, and all but one of them would fail to.

    Args:
        loggers: names of packages.

    Raises:
        ConfigError: a package is not installed, or MLflow does not answer.
    """
    names = [*loggers]
    check_installed(names)
    if "mlflow" not in names:
        return
    import mlflow

    client = mlflow.MlflowClient()
    try:
        if client.get_experiment_by_name(mlflow_experiment()) is None:
            client.create_experiment(mlflow_experiment())
    except Exception as error:
        raise ConfigError(f"saving_data_params.loggers: mlflow: {first_line(error)}") from error


def mlflow_experiment() -> str:
    """The experiment that MLflow's variable names, else ours."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or PROJECT


def tracking_uri() -> str:
    """Where MLflow keeps its runs: what its variable says, else what it does by default."""
    import mlflow

    return str(mlflow.get_tracking_uri())


def remember_runs(folder: Path, runs: Mapping[str, str]) -> None:
    """Write which runs of trackers a run folder has.

    Args:
        folder: the run folder.
        runs: name of the tracker -> its run.
    """
    write_json(folder / TRACKERS_FILE, dict(runs))


def runs_of(folder: Path) -> dict[str, str]:
    """Name of the tracker -> its run, of a run folder; empty where it has none, or what is there is damaged."""
    try:
        runs = read_json(folder / TRACKERS_FILE)
    except (ConfigError, OSError):
        return {}
    known = isinstance(runs, dict) and all(isinstance(run, str) for run in runs.values())
    return {name: run for name, run in runs.items() if name in _ADDING} if known else {}


def add_pictures(folder: Path) -> list[str]:
    """Add the pictures in a complete run folder to its runs; what went wrong, a line for each.

    Args:
        folder: the run folder.
    """
    return _add(folder, sorted(folder.glob("*.png")), None)


def add_bundle(folder: Path, bundle: Path) -> list[str]:
    """Add a bundle to the runs of the run folder that it is exported of; what went wrong, a line for each.

    Args:
        folder: the run folder.
        bundle: its folder.
    """
    return _add(folder, [], bundle)


def warn_of(faults: Iterable[str]) -> None:
    """Tell what a tracker did not take, a warning for each."""
    for fault in faults:
        _LOG.warning("%s", fault)


def _add(folder: Path, pictures: list[Path], bundle: Path | None) -> list[str]:
    faults = []
    for name, run in runs_of(folder).items():
        try:
            check_installed([name])
            _ADDING[name](run, pictures, bundle)
        except Exception as error:  # noqa: BLE001 - the files are there, whatever a tracker's package raises
            what = "the pictures are" if bundle is None else "the bundle is"
            faults.append(f"{name}: {what} not in its run ({first_line(error)})")
    return faults


def _to_mlflow(run: str, pictures: list[Path], bundle: Path | None) -> None:
    import mlflow

    client = mlflow.MlflowClient()
    for picture in pictures:
        client.log_artifact(run, str(picture), "pictures")
    if bundle is not None:
        client.log_artifacts(run, str(bundle), "bundle")


def _to_wandb(run: str, pictures: list[Path], bundle: Path | None) -> None:
    import wandb

    with wandb.init(project=PROJECT, id=run, resume="allow") as session:
        if pictures:
            session.log({f"pictures/{picture.stem}": wandb.Image(str(picture)) for picture in pictures})
        if bundle is not None:
            artifact = wandb.Artifact(f"bundle-{run}", type="model")
            artifact.add_dir(str(bundle))
            session.log_artifact(artifact)


def _to_trackio(run: str, pictures: list[Path], bundle: Path | None) -> None:
    import trackio

    before = next((each.config or {} for each in trackio.Api().runs(PROJECT) if each.name == run), {})
    config = {key: value for key, value in before.items() if not key.startswith("_")}  # else it would be emptied
    trackio.init(project=PROJECT, name=run, group=before.get("_Group"), resume="allow", config=config, embed=False)
    try:
        if pictures:
            trackio.log({f"pictures/{picture.stem}": trackio.Image(str(picture)) for picture in pictures})
        if bundle is not None:
            trackio.log_artifact(bundle, name=f"bundle-{run}", type="model")
    finally:
        trackio.finish()


_ADDING: Mapping[str, Any] = {"mlflow": _to_mlflow, "wandb": _to_wandb, "trackio": _to_trackio}
