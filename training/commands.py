"""Commands and steps of training. Heavy modules are imported when a command runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emotions.errors import ConfigError, Fault
from emotions.pipeline.interruption import stoppable
from emotions.pipeline.options import Overrides, Root, label_commands
from emotions.pipeline.runner import Context, Pipeline, Step, check_pipeline, load_pipeline, run_pipeline
from training.data.import_command import import_annotations
from training.data.initial_config.commands import init, initial_pipeline
from training.evaluation.commands import EVALUATE, evaluate
from training.evaluation.corrections.command import merge, report
from training.evaluation.data_check.command import check
from training.models.shelf.commands import encoders_app

if TYPE_CHECKING:
    from training.config.train import ModelStep, TrainStep
    from training.config.tune import PrintTuneResStep, TuneStep


def register(app: typer.Typer) -> None:
    """Add ``train``, ``evaluate``, ``data``, ``cache`` and ``encoders`` to the command line."""
    app.command()(init)
    app.command()(train)
    app.command()(evaluate)
    labels = label_commands(app)
    labels.command()(merge)
    labels.command()(report)
    data = typer.Typer(help="Inspect recordings before training.")
    data.command()(check)
    data.command()(demo)
    data.command("import")(import_annotations)
    app.add_typer(data, name="data")
    cache = typer.Typer(help="Caches of decoded recordings and features.")
    cache.command("ls")(cache_ls)
    cache.command("clear")(cache_clear)
    app.add_typer(cache, name="cache")
    app.add_typer(encoders_app(), name="encoders")


def train(
    config: Annotated[
        Path | None,
        typer.Argument(
            metavar="[CONFIG|FOLDER]",
            help="Pipeline file, as --config-file; or recordings, as emotions init takes them.",
        ),
    ] = None,
    config_file: Annotated[
        Path | None, typer.Option("--config-file", metavar="FILE", help="Pipeline file (JSON).")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Go on with the interrupted training in this run folder.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin an interrupted training anew.")] = False,
    overrides: Overrides = None,
    root: Root = None,
) -> None:
    """Run the steps of a pipeline file, or train on a folder. An interrupted training goes on where it stopped."""
    if config is not None and config_file is not None:
        raise ConfigError("name the pipeline file once: as CONFIG or in --config-file")
    with stoppable():
        pipeline = _pipeline(config or config_file, resume, overrides or (), root, fresh=fresh)
        if run_pipeline(pipeline, fresh=fresh).failures:
            raise typer.Exit(1)


def _pipeline(
    what: Path | None, resume: Path | None, overrides: Sequence[str], root: Path | None, *, fresh: bool
) -> Pipeline:
    """The pipeline of a file, the first one of a dataset, or the one that an interrupted training is a step of."""
    if resume is None:
        if what is None:
            raise ConfigError(
                "say what to train: a pipeline file, a folder of recordings, or --resume DIR to go on with an "
                "interrupted run"
            )
        return initial_pipeline(what, overrides, root) if _is_dataset(what) else load_pipeline(what, overrides, root)
    if what is not None or fresh:
        raise ConfigError("--resume goes on with a run folder's own pipeline: leave --config-file and --fresh out")
    from training.run_folder.resume import resumed_pipeline

    document, its_root = resumed_pipeline(resume)
    return check_pipeline(document, str(resume), overrides, root or its_root)


def _is_dataset(path: Path) -> bool:
    """Whether a path is a folder or file of recordings rather than a pipeline file."""
    from emotions.inputs.tables import TABLE_SUFFIXES
    from training.data.sources import ANNOTATIONS

    return path.is_dir() or path.name == ANNOTATIONS or path.suffix.lower() in TABLE_SUFFIXES


def demo(
    folder: Annotated[Path, typer.Argument(help="Folder to write to.")],
    seed: Annotated[int, typer.Option(min=0, help="Seed of the synthesis.")] = 0,
    dimensions: Annotated[
        bool, typer.Option("--dimensions", help="With arousal and valence, in table.csv, rather than emotions.")
    ] = False,
) -> None:
    """Synthesise a small corpus to try the toolkit with."""
    from training.data.demo import make_affect_corpus, make_demo_corpus

    make = make_affect_corpus if dimensions else make_demo_corpus
    typer.echo(f"{make(folder, seed)}: written")


def cache_ls() -> None:
    """List the caches with their sizes."""
    from training.data.waveforms.array_store import describe

    typer.echo(describe())


def cache_clear() -> None:
    """Delete the cache."""
    from training.data.waveforms.array_store import clear

    typer.echo(f"{clear() / 1e6:.1f} MB freed")


def _train_step() -> Any:
    from training.config.train import TrainStep

    return TrainStep


def _train_faults(raw: dict[str, Any]) -> list[Fault]:
    from training.config.train import train_faults

    return train_faults(raw)


def _train(step: TrainStep, context: Context) -> None:
    from training.loop.fit import fit

    context.last_run = fit(step, context)


def _look_at_train(step: TrainStep, context: Context) -> None:
    """Refuse a run folder that is finished, a checkpoint that is not there and a dataset that cannot be used."""
    from training.loop.fit import check_places

    check_places(step, context)
    _look_at_data(step, context)


def _look_at_data(step: ModelStep, context: Context) -> None:
    from training.data.clips import read_clips
    from training.features.teacher.teacher import look_at_teacher

    table = read_clips(step.dataset, context.root)
    look_at_teacher(step, context.root, table)


def _tune_step() -> Any:
    from training.config.tune import TuneStep

    return TuneStep


def _tune(step: TuneStep, context: Context) -> None:
    from training.tuning.search import search

    context.last_search = search(step, context)


def _tune_faults(raw: dict[str, Any]) -> list[Fault]:
    from training.config.teacher import unlabelled_faults
    from training.config.tune import tune_faults

    return [*unlabelled_faults(raw), *tune_faults(raw)]


def _check_tune(step: TuneStep, _: Context) -> None:
    from training.tuning.spaces import check_searched

    check_searched(step)


def _print_tune_res_step() -> Any:
    from training.config.tune import PrintTuneResStep

    return PrintTuneResStep


def _print_results(step: PrintTuneResStep, context: Context) -> None:
    from training.tuning.report import print_results

    path = Path(*step.res_path) if step.res_path is not None else context.last_search
    if path is None:
        raise ConfigError("print_tune_res: no tune step ran before; name a results folder in res_path")
    print_results(context.root / path, step.format)


__all__ = ["EVALUATE", "PRINT_TUNE_RES", "TRAIN", "TUNE", "register"]

TRAIN = Step(_train_step, _train, _train_faults, look=_look_at_train)
TUNE = Step(_tune_step, _tune, _tune_faults, preflight=_check_tune, look=_look_at_data)
PRINT_TUNE_RES = Step(_print_tune_res_step, _print_results)
