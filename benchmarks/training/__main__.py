"""``python -m benchmarks.training``: print how fast training is, as ratios that other machines can be held to."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Part(StrEnum):
    """What can be measured."""

    CACHE = "cache"
    COPIES = "copies"
    CORPUS = "corpus"
    FINE_TUNING = "fine-tuning"
    LOOP = "loop"
    MEMORY = "memory"
    SEARCH = "search"
    TRAINER = "trainer"


def main(  # noqa: PLR0913, PLR0917  # options of a command line
    parts: Annotated[list[Part] | None, typer.Argument(help="What to measure; all of it by default.")] = None,
    data: Annotated[Path | None, typer.Option(help="Dataset to measure on, in place of clips of noise.")] = None,
    clips: Annotated[int, typer.Option(min=2, help="Clips to measure on; memory also takes four times as many.")] = 128,
    encoded: Annotated[int, typer.Option(min=2, help="Clips that the encoder runs on.")] = 32,
    rounds: Annotated[int, typer.Option(min=1, help="How often each side is measured.")] = 3,
    threads: Annotated[int, typer.Option(min=1, help="Threads of torch.")] = 1,
    sizes: Annotated[str, typer.Option(metavar="N,N", help="Numbers of clips of copies and corpus.")] = "300,3000",
    longest: Annotated[float, typer.Option(min=0.6, max=60, help="Seconds of the corpus' longest clip.")] = 0.6,
    trials: Annotated[int, typer.Option(min=2, help="Trials of each search.")] = 24,
    backbone: Annotated[str, typer.Option(help="Image network of the searches.")] = "efficientnet_b0",
) -> None:
    """Measure the feature cache, the search for copies, corpora, training loops, fine-tuning, memory and searches."""
    import torch

    from benchmarks.training.altered_copies import compare_altered_copies
    from benchmarks.training.copies import compare_copies
    from benchmarks.training.corpus import synthesise
    from benchmarks.training.corpus_scale import compare_sizes
    from benchmarks.training.encoding import compare_encoding
    from benchmarks.training.fine_tuning import compare_fine_tuning
    from benchmarks.training.loop import compare_loops
    from benchmarks.training.memory import compare_memory
    from benchmarks.training.transformers_trainer import compare_trainer
    from benchmarks.training.tuning import compare_searches

    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["EMOTIONS_CACHE"] = str(Path(folder) / "cache")
        source = (data or synthesise(Path(folder) / "data", max(clips, encoded), 5.0)).resolve()
        reports: dict[Part, Callable[[], Iterable[str]]] = {
            Part.CACHE: lambda: compare_encoding(source, encoded, rounds),
            Part.COPIES: lambda: itertools.chain(
                compare_copies([int(size) for size in sizes.split(",")]), compare_altered_copies(source, clips)
            ),
            Part.CORPUS: lambda: compare_sizes([int(size) for size in sizes.split(",")], longest),
            Part.FINE_TUNING: lambda: compare_fine_tuning(source, encoded, rounds),
            Part.LOOP: lambda: compare_loops(source, clips, rounds),
            Part.MEMORY: lambda: compare_memory(clips),
            Part.SEARCH: lambda: compare_searches(source, trials, Path(folder), backbone),
            Part.TRAINER: lambda: compare_trainer(source, clips, rounds, backbone),
        }
        for part in parts or reports:
            for line in reports[Part(part)]():
                typer.echo(line)


if __name__ == "__main__":
    typer.run(main)
