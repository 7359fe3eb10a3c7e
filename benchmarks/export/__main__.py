"""Benchmarks of the export, ``python -m benchmarks.export``.

``hf``: convert a base-size classifier and race it against the transformers pipeline. ``int8``: race its variants.
``folder``: race a folder job against the transformers pipeline. ``formats``: every model family in every form.
``backends``: one bundle in every runtime. ``clip``: what one clip costs by several bundles. ``importers``: models that
people ask for, at their sizes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, help=__doc__)


@app.callback()
def main() -> None:
    """Benchmarks of the export."""


@app.command()
def hf(
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of each side.")] = 2,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of the race; sides take turns.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.1, max=30, help="Seconds of the longest clip.")] = 4.0,
    clips: Annotated[int, typer.Option(min=1, help="Clips a round.")] = 6,
) -> None:
    """Build a base-size wav2vec2 classifier with random weights, convert it, and race both."""
    from benchmarks.export.huggingface import benchmark

    for line in benchmark(threads, rounds, seconds, clips):
        typer.echo(line)


@app.command()
def int8(
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of each side.")] = 2,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of the race; sides take turns.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.1, max=30, help="Seconds of the longest clip.")] = 4.0,
) -> None:
    """Build a base-size wav2vec2 classifier with random weights and race int8 against fp32."""
    from benchmarks.export.int8 import benchmark

    for line in benchmark(threads, rounds, seconds):
        typer.echo(line)


@app.command()
def folder(
    data: Annotated[Path, typer.Option(metavar="FOLDER", help="Recordings.")],
    files: Annotated[int, typer.Option(min=1, help="How many of them, spread evenly.")] = 24,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of each side.")] = 1,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of the race; sides take turns.")] = 3,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the bundle here; one that is there is only raced anew.")
    ] = None,
) -> None:
    """Classify files by the bundle of a base-size wav2vec2 classifier, in fp32 and int8, and by transformers."""
    from benchmarks.export.folder import benchmark

    for line in benchmark(data, files, threads, rounds, output=output):
        typer.echo(line)


@app.command()
def formats(
    data: Annotated[Path | None, typer.Option(metavar="D", help="Dataset; by default a synthetic one.")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of each training.")] = 3,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each race; sides take turns.")] = 9,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of each side.")] = 1,
    family: Annotated[list[str] | None, typer.Option(metavar="F", help="Only this one; may be repeated.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep the bundles and report.json here; bundles there are only raced anew."),
    ] = None,
) -> None:
    """Train, export and race every model family in every form; prints a Markdown table."""
    from benchmarks.export.formats import benchmark
    from emotions.errors import EmotionsError

    try:
        for line in benchmark(data, epochs, rounds, threads, family or (), output):
            typer.echo(line)
    except EmotionsError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error


@app.command()
def backends(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle, best with every form and variant.")],
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each race; sides take turns.")] = 9,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of each side.")] = 1,
    compiled: Annotated[bool, typer.Option(help="Measure torch.compile, which takes a while to compile.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON rather than a Markdown table.")] = False,
) -> None:
    """Race a bundle in ONNX Runtime, torch, TorchScript and OpenVINO, and compare their answers."""
    from dataclasses import asdict

    from benchmarks.export.backends import lines, measure

    measured = measure(bundle, threads, rounds, compiled=compiled)
    typer.echo(json.dumps(asdict(measured)) if as_json else "\n".join(lines(measured)))


@app.command()
def importers(
    model: Annotated[list[str] | None, typer.Option(metavar="M", help="Only this one; may be repeated.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of each side.")] = 1,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each race; sides take turns.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.1, max=30, help="Seconds of the longest clip.")] = 3.0,
    clips: Annotated[int, typer.Option(min=1, help="Clips a round.")] = 3,
) -> None:
    """Race fp32 against int8 of models that people ask for, with random weights; prints a Markdown table."""
    from benchmarks.export.importers import MODELS, benchmark

    unknown = sorted({*(model or ())} - {*MODELS})
    if unknown:
        raise typer.BadParameter(f"{unknown[0]} is none of {', '.join(MODELS)}")
    for line in benchmark(model or (), threads, rounds, seconds, clips):
        typer.echo(line)


@app.command()
def clip(
    bundles: Annotated[list[Path], typer.Argument(metavar="BUNDLE...", help="Bundles of any models.")],
    seconds: Annotated[float, typer.Option(min=0.1, max=30, help="Seconds of each clip.")] = 3.0,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of the race; sides take turns.")] = 15,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of each bundle.")] = 1,
) -> None:
    """Race bundles, one clip at a time, and openSMILE's eGeMAPS where it is installed."""
    from benchmarks.export.clip import benchmark

    for line in benchmark(bundles, seconds, rounds, threads):
        typer.echo(line)


if __name__ == "__main__":
    app()
