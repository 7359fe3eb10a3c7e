"""Commands and steps of training. Heavy modules are imported when a command runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emotions.errors import ConfigError
from emotions.pipeline.options import ConfigFile, Overrides, Root
from emotions.pipeline.runner import Context, Step, load_pipeline, run_pipeline
from training.config.train import TrainStep, train_faults
from training.config.tune import PrintTuneResStep, TuneStep, tune_faults
from training.evaluation.commands import EVALUATE, evaluate


def register(app: typer.Typer) -> None:
    """Add ``train``, ``evaluate``, ``data`` and ``cache`` to the command line."""
    app.command()(train)
    app.command()(evaluate)
    data = typer.Typer(help="Inspect recordings before training.")
    data.command()(check)
    data.command()(demo)
    app.add_typer(data, name="data")
    cache = typer.Typer(help="Caches of decoded recordings and features.")
    cache.command("ls")(cache_ls)
    cache.command("clear")(cache_clear)
    app.add_typer(cache, name="cache")


def train(config_file: ConfigFile, overrides: Overrides = None, root: Root = None) -> None:
    """Run the steps of a pipeline file."""
    if run_pipeline(load_pipeline(config_file, overrides or (), root)).failures:
        raise typer.Exit(1)


def check(
    path: Annotated[Path, typer.Argument(help="Folder or file of the dataset.")],
    layout: Annotated[str, typer.Option("--format", help="auto, annotations, folders or table.")] = "auto",
) -> None:
    """Report the content and the faults of a dataset."""
    from training.data.check import check_path

    typer.echo(check_path(path, layout))


def demo(
    folder: Annotated[Path, typer.Argument(help="Folder to write to.")],
    seed: Annotated[int, typer.Option(min=0, help="Seed of the synthesis.")] = 0,
) -> None:
    """Synthesise a small corpus to try the toolkit with."""
    from training.data.demo import make_demo_corpus

    typer.echo(f"{make_demo_corpus(folder, seed)}: written")


def cache_ls() -> None:
    """List the caches with their sizes."""
    from training.data.array_store import describe

    typer.echo(describe())


def cache_clear() -> None:
    """Delete the cache."""
    from training.data.array_store import clear

    typer.echo(f"{clear() / 1e6:.1f} MB freed")


def _train(step: TrainStep, context: Context) -> None:
    from training.loop.fit import fit

    context.last_run = fit(step, context)


def _tune(step: TuneStep, context: Context) -> None:
    from training.tuning.search import search

    context.last_search = search(step, context)


def _check_tune(step: TuneStep, _: Context) -> None:
    from training.tuning.spaces import check_searched

    check_searched(step)


def _print_results(step: PrintTuneResStep, context: Context) -> None:
    from training.tuning.report import print_results

    path = Path(*step.res_path) if step.res_path is not None else context.last_search
    if path is None:
        raise ConfigError("print_tune_res: no tune step ran before; name a results folder in res_path")
    print_results(context.root / path, step.format)


__all__ = ["EVALUATE", "PRINT_TUNE_RES", "TRAIN", "TUNE", "register"]

TRAIN = Step(TrainStep, _train, train_faults)
TUNE = Step(TuneStep, _tune, tune_faults, preflight=_check_tune)
PRINT_TUNE_RES = Step(PrintTuneResStep, _print_results)
