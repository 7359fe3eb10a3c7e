"""The ``export`` command and step. What is heavy is imported when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from emotions.errors import ConfigError
from emotions.pipeline import Context, Step
from export.config import ExportStep

BUNDLES = "bundles"
"""Folder that bundles go to unless another is named."""
HUGGINGFACE = "hf:"
"""Prefix of a step's source that is a classifier of Hugging Face: a folder, or a name on the hub."""
_NO_TRIALS = "export source 'best_trial' needs a tune step, which this release does not run"


def register(app: typer.Typer) -> None:
    """Add ``export`` to the command line."""
    app.command()(export)


def export(
    run: Annotated[Path | None, typer.Option(metavar="DIR", help="Run folder of a training.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(metavar="FILE", help="Checkpoint (.ckpt).")] = None,
    hf: Annotated[
        str | None,
        typer.Option(
            metavar="NAME_OR_FOLDER", help="Audio classifier of Hugging Face: a folder, or a name on the hub."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="BUNDLE", help="Folder of the bundle to write; by default bundles/<name>.")
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="N", help="Name of the bundle.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="D", help="Recordings to prove the export on; by default the run's validation and test."),
    ] = None,
    target: Annotated[
        str | None, typer.Option(metavar="T", help="With --hf: what its labels are of; by default emotion.")
    ] = None,
) -> None:
    """Export a trained model as a bundle, once it is proven to answer as the model does."""
    sources = [*(str(path) for path in (run, checkpoint) if path), *([HUGGINGFACE + hf] if hf is not None else [])]
    if len(sources) != 1:
        raise ConfigError("say what to export: either --run DIR, --checkpoint FILE or --hf NAME_OR_FOLDER")
    _report(_exported(sources[0], target, output, name, data=data, bundles=Path(BUNDLES)))


def _exported(source: str, target: str | None, output: Path | None, name: str | None, **options: Any) -> Path:
    """The bundle of a path, or of a classifier of Hugging Face where the source begins with ``hf:``."""
    from export.bundler import export_run, export_source

    if not source.startswith(HUGGINGFACE):
        if target is not None:
            raise ConfigError("a target is named for classifiers of Hugging Face only: other models know theirs")
        return export_run(Path(source), output, name, **options)
    from export.huggingface.source import load_huggingface

    chosen = source.removeprefix(HUGGINGFACE)
    return export_source(lambda: load_huggingface(chosen, target), output, name, **options)


def _export(step: ExportStep, context: Context) -> None:
    output = None if step.output is None else context.root.joinpath(*step.output)
    bundles = context.root / BUNDLES
    context.last_bundle = _exported(
        _source(step, context), step.target, output, step.name, seed=context.seed, bundles=bundles
    )
    _report(context.last_bundle)


def _source(step: ExportStep, context: Context) -> str:
    if step.source.startswith(HUGGINGFACE):
        name = step.source.removeprefix(HUGGINGFACE)
        folder = context.root / name
        return HUGGINGFACE + (str(folder) if folder.is_dir() else name)
    if step.source != "last_run":
        return str(context.root / step.source)
    if context.last_run is None:
        raise ConfigError(
            "export source 'last_run': no train step ran before; put one there, or name a run folder or a checkpoint"
        )
    return str(context.last_run)


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
