"""``emotions data check``: reports on datasets before training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emotions.errors import ConfigError, DataError
from emotions.pipeline.options import Overrides, Root
from emotions.pipeline.runner import load_pipeline

if TYPE_CHECKING:
    from training.config.dataset import DatasetConfig


def check(  # noqa: PLR0913, PLR0917 - options of a command line
    path: Annotated[Path | None, typer.Argument(help="Folder or file of the dataset.")] = None,
    layout: Annotated[str | None, typer.Option("--format", help="As dataset.format: auto, table, folders, ...")] = None,
    target: Annotated[str | None, typer.Option(help="As dataset.target: name of the target of class folders.")] = None,
    speaker: Annotated[
        str | None, typer.Option(help="Column of the speaker, or a regular expression on the path with a group.")
    ] = None,
    recording: Annotated[str | None, typer.Option(help="The same for the recording that a clip was cut from.")] = None,
    config_file: Annotated[
        Path | None, typer.Option("--config-file", metavar="FILE", help="Check the datasets of this pipeline file.")
    ] = None,
    voices: Annotated[
        bool, typer.Option("--voices", help="Compare the speakers' voices, or guess who speaks (fetches an encoder).")
    ] = False,
    output: Annotated[Path, typer.Option(metavar="DIR", help="Where --voices writes.")] = Path("voices"),
    overrides: Overrides = None,
    root: Root = None,
) -> None:
    """Report the content and the faults of a dataset; exits with 1 where training would refuse it."""
    from training.config.dataset import as_origin
    from training.data.checks.check import check_dataset
    from training.data.sources import locate

    changes: dict[str, Any] = {
        "path": None if path is None else str(path.absolute()),
        "format": layout,
        "target": target,
        "speaker": as_origin(speaker, "--speaker"),
        "recording": as_origin(recording, "--recording"),
    }
    given = {key: value for key, value in changes.items() if value is not None}
    refused = False
    datasets = _datasets(config_file, overrides or (), root, given)
    if voices:
        from training.models.shelf.catalogue import RESEMBLYZER
        from training.models.shelf.fetch import ready

        ready(RESEMBLYZER)
    for number, planned in enumerate(datasets):
        locate(planned.dataset, planned.root)  # a path that is not there is a mistake of the command
        try:
            report = check_dataset(planned.dataset, planned.root, planned.seed, split=planned.split)
        except DataError as error:
            typer.echo(f"{error}\n  verdict  training refuses this dataset")
            refused = True
        else:
            typer.echo(report)
            refused = refused or bool(report.faults)
            if voices:
                _tell_voices(planned, output / str(number) if len(datasets) > 1 else output)
    if refused:
        raise typer.Exit(1)


def _tell_voices(planned: _Planned, folder: Path) -> None:
    from training.evaluation.data_check.voices import check_voices

    report = check_voices(planned.dataset, planned.root, folder)
    typer.echo("  voices        of one speaker alone" if report is None else report)


@dataclass(frozen=True)
class _Planned:
    """A dataset to check, as a step would use it."""

    dataset: DatasetConfig
    root: Path
    seed: int = 0
    split: bool = True


def _datasets(
    config_file: Path | None, overrides: Sequence[str], root: Path | None, given: dict[str, Any]
) -> list[_Planned]:
    """The datasets of a pipeline file, each once, with what the command line changes; without a file, the one given."""
    from training.config.dataset import DatasetConfig, as_dataset
    from training.config.evaluate import EvaluateStep

    if config_file is None:
        if overrides:
            raise ConfigError("--set changes a pipeline file: name it in --config-file")
        if "path" not in given:
            raise ConfigError("name the folder or file of a dataset, or a pipeline file in --config-file")
        return [_Planned(as_dataset(given), (root or Path.cwd()).absolute())]
    pipeline = load_pipeline(config_file, overrides, root)
    found = []
    for step in pipeline.steps:
        dataset = getattr(step.config, "dataset", None)
        if isinstance(dataset, DatasetConfig):
            whole = as_dataset({**dataset.model_dump(exclude_unset=True), **given})
            folds = isinstance(step.config, EvaluateStep) and step.config.protocol != "holdout"
            planned = _Planned(whole, pipeline.root, pipeline.seed, not folds)
            found += [planned] if planned not in found else []
    if not found:
        raise ConfigError(f"{config_file}: has no step with a dataset")
    return found
