"""The ``export`` command and step. What is heavy is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emotions.errors import ConfigError
from emotions.files import refuse_existing
from emotions.pipeline import Context, Step
from export.config import ExportStep

BUNDLES = "bundles"
"""Folder that bundles go to unless another is named."""


def register(app: typer.Typer) -> None:
    """Add ``export`` to the command line."""
    app.command()(export)


def export(
    run: Annotated[Path | None, typer.Option(metavar="DIR", help="Run folder of a training.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(metavar="FILE", help="Checkpoint (.ckpt).")] = None,
    tune_results: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Results folder of a search: its best trial.")
    ] = None,
    refit: Annotated[
        bool,
        typer.Option(
            "--refit", help="With --tune-results: train the best values again, on training and validation part."
        ),
    ] = False,
    output: Annotated[
        Path | None, typer.Option(metavar="BUNDLE", help="Folder of the bundle to write; by default bundles/<name>.")
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="N", help="Name of the bundle.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="D", help="Recordings to prove the export on; by default the run's validation and test."),
    ] = None,
) -> None:
    """Export a trained model as a bundle, once it is proven to answer as the model does."""
    from export.bundler import export_run

    named = [path for path in (run, checkpoint, tune_results) if path is not None]
    if len(named) != 1:
        raise ConfigError("say what to export: one of --run DIR, --checkpoint FILE and --tune-results DIR")
    if output is not None:
        refuse_existing(output)
    source = named[0] if tune_results is None else _best_run(tune_results, Context(Path.cwd(), 0, 0, {}), refit)
    _report(export_run(source, output, name, data=data, bundles=Path(BUNDLES)))


def _export(step: ExportStep, context: Context) -> None:
    from export.bundler import export_run

    output = None if step.output is None else context.root.joinpath(*step.output)
    bundles = context.root / BUNDLES
    context.last_bundle = export_run(_source(step, context), output, step.name, seed=context.seed, bundles=bundles)
    _report(context.last_bundle)


def _source(step: ExportStep, context: Context) -> Path:
    if step.source == "best_trial":
        if context.last_search is None:
            raise ConfigError("export source 'best_trial': no tune step ran before; put one there")
        return _best_run(context.last_search, context, step.refit)
    if step.source != "last_run":
        return context.root / step.source
    if context.last_run is None:
        raise ConfigError(
            "export source 'last_run': no train step ran before; put one there, or name a run folder or a checkpoint"
        )
    return context.last_run


def _best_run(results: Path, context: Context, again: bool) -> Path:
    """The run folder of a search's best trial, or of its values trained again."""
    from training.tuning.records import Results
    from training.tuning.refit import refit

    return refit(results, context) if again else Results(results).best_run()


def _report(bundle: Path) -> None:
    from export.report import summary

    typer.echo(summary(bundle))


def _check_output(step: ExportStep, context: Context) -> None:
    if step.output is not None:
        refuse_existing(context.root.joinpath(*step.output))


EXPORT = Step(ExportStep, _export, preflight=_check_output)
