"""The ``export`` command and step. What is heavy is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from emotions.errors import ConfigError
from emotions.pipeline import Context, Step
from export.config import ExportStep

BUNDLES = "bundles"
_NO_TRIALS = "export source 'best_trial' needs a tune step, which this release does not run"
"""Folder that bundles go to unless another is named."""


def register(app: typer.Typer) -> None:
    """Add ``export`` to the command line."""
    app.command()(export)


def export(
    run: Annotated[Path | None, typer.Option(metavar="DIR", help="Run folder of a training.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(metavar="FILE", help="Checkpoint (.ckpt).")] = None,
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

    source = run or checkpoint
    if source is None or (run and checkpoint):
        raise ConfigError("say what to export: either --run DIR or --checkpoint FILE")
    _report(export_run(source, output, name, data=data, bundles=Path(BUNDLES)))


def _export(step: ExportStep, context: Context) -> None:
    from export.bundler import export_run

    output = None if step.output is None else context.root.joinpath(*step.output)
    bundles = context.root / BUNDLES
    context.last_bundle = export_run(_source(step, context), output, step.name, seed=context.seed, bundles=bundles)
    _report(context.last_bundle)


def _source(step: ExportStep, context: Context) -> Path:
    if step.source != "last_run":
        return context.root / step.source
    if context.last_run is None:
        raise ConfigError(
            "export source 'last_run': no train step ran before; put one there, or name a run folder or a checkpoint"
        )
    return context.last_run


def _report(bundle: Path) -> None:
    from export.report import summary

    typer.echo(summary(bundle))


def _check_output(step: ExportStep, context: Context) -> None:
    from emotions.files import refuse_existing

    if step.source == "best_trial":
        raise ConfigError(_NO_TRIALS)
    if step.output is not None:
        refuse_existing(context.root.joinpath(*step.output))


EXPORT = Step(ExportStep, _export, preflight=_check_output)
