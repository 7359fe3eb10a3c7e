"""``python -m benchmarks``: the figures that the toolkit is held to, in one table, on this machine.

It takes about an hour on two cores, and means something where nothing else runs. Parts by name take less.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.goals.goal import Goal, table


class Part(StrEnum):
    """What can be measured."""

    REQUESTS = "requests"
    FILES = "files"
    STARTS = "starts"
    INT8 = "int8"
    CORPORA = "corpora"
    TRAINING = "training"


def main(
    parts: Annotated[list[Part] | None, typer.Argument(help="What to measure; all of it by default.")] = None,
    data: Annotated[Path | None, typer.Option(help="Dataset to measure on, in place of the demo's.")] = None,
    sizes: Annotated[str, typer.Option(metavar="N,N", help="Numbers of clips of corpora.")] = "3000,30000",
    clips: Annotated[int, typer.Option(min=2, help="Clips to train on.")] = 64,
    rounds: Annotated[int, typer.Option(min=1, help="How often each side of a race is measured.")] = 3,
    output: Annotated[Path | None, typer.Option(metavar="DIR", help="Keep reports and bundles here.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer recordings and passes of the service.")] = False,
) -> None:
    """Print each figure beside what is wanted of it."""
    numbers = [int(size) for size in sizes.split(",")]
    if len(numbers) < 2 or numbers != sorted({*numbers}):
        raise typer.BadParameter("--sizes takes two numbers at least, rising")
    with tempfile.TemporaryDirectory() as scratch:
        folder = output or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        goals = _goals({*(parts or Part)}, folder, data, numbers, clips, rounds, quick=quick)
        for line in table(goals):
            typer.echo(line)


def _goals(
    parts: set[Part], folder: Path, data: Path | None, sizes: list[int], clips: int, rounds: int, *, quick: bool
) -> Iterator[Goal]:
    from benchmarks.goals.models import SIZES, made_bundle
    from benchmarks.goals.models_of_others import eight_bits
    from benchmarks.goals.serving import FOLDERS, files, requests, starts
    from benchmarks.goals.training import corpora, loops
    from training.data.demo import make_demo_corpus

    source = data or make_demo_corpus(folder / "data")
    if parts & {Part.REQUESTS, Part.FILES, Part.STARTS}:
        wanted = [size for size in SIZES if Part.REQUESTS in parts or size in FOLDERS]
        bundles = {size: made_bundle(folder, source, size) for size in wanted}
        for size, bundle in bundles.items():
            if Part.REQUESTS in parts:
                yield from requests(bundle, size, data, source, folder / f"report-{size}", quick=quick)
            if Part.FILES in parts and size in FOLDERS:
                yield from files(bundle, size, source)
        if Part.STARTS in parts:
            yield from starts(bundles["medium"], folder)
    if Part.INT8 in parts:
        yield from eight_bits(rounds=rounds)
    if Part.CORPORA in parts:
        yield from corpora(sizes)
    if Part.TRAINING in parts:
        yield from loops(source, clips, rounds)


if __name__ == "__main__":
    typer.run(main)
