"""Benchmarks of the export, ``python -m export.benchmark``.

``hf``: convert a base-size classifier and race it against the transformers pipeline. ``int8``: race its variants.
``formats``: every model family in every form.
"""

from __future__ import annotations

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
    from export.benchmark.huggingface import benchmark

    for line in benchmark(threads, rounds, seconds, clips):
        typer.echo(line)


@app.command()
def int8(
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of each side.")] = 2,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of the race; sides take turns.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.1, max=30, help="Seconds of the longest clip.")] = 4.0,
) -> None:
    """Build a base-size wav2vec2 classifier with random weights and race int8 against fp32."""
    from export.benchmark.eight_bits import benchmark

    for line in benchmark(threads, rounds, seconds):
        typer.echo(line)


@app.command()
def formats(
    data: Annotated[Path | None, typer.Option(metavar="D", help="Dataset; by default a synthetic one.")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of each training.")] = 3,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each race; sides take turns.")] = 9,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of each side.")] = 1,
) -> None:
    """Train, export and race every model family in every form; prints a Markdown table."""
    from export.benchmark.formats import benchmark

    for line in benchmark(data, epochs, rounds, threads):
        typer.echo(line)


if __name__ == "__main__":
    app()
