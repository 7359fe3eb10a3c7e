"""Figures of large corpora and of training."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import typer

from benchmarks.goals.goal import Goal
from benchmarks.training.corpus_scale import OWN_STEPS, steps
from benchmarks.training.encoding import compare_encoding
from benchmarks.training.fine_tuning import compare_fine_tuning
from benchmarks.training.loop import compare_loops
from benchmarks.training.transformers_trainer import compare_trainer

_MOST_MB = 4_000.0
_FINE_TUNED = 16
_STARTS = {"first batch": 2.0, "first trial of a process": 3.0, "next trial": 3.0}
"""Most seconds before an epoch from the cache, and a trial of a search, begin."""
_GROWTH = 1.15
"""Exponent of the time by the number of clips: n log n has 1.1 between 3,000 and 30,000."""


def corpora(sizes: Sequence[int]) -> Iterator[Goal]:
    """Each step between a dataset and its first batch: its time by the number of clips, and its memory.

    Args:
        sizes: numbers of clips, two at least, rising.
    """
    found = {size: dict(steps(size)) for size in sizes}
    few, many = sizes[-2:]
    for step, (seconds, _, peak) in found[many].items():
        before = found[few][step][0]
        yield Goal(f"{step}, {many:,} clips", seconds, "s", _STARTS.get(step))
        if before > 1 and step in OWN_STEPS:
            exponent = math.log(seconds / before) / math.log(many / few)
            yield Goal(f"{step}, growth of time from {few:,} clips, exponent", exponent, "", _GROWTH)
        yield Goal(f"{step}, {many:,} clips, peak memory", peak, "MB", _MOST_MB)


def loops(data: Path, clips: int, rounds: int) -> Iterator[Goal]:
    """Epochs beside a bare loop, beside transformers' Trainer, and from the cache.

    Args:
        data: dataset.
        clips: how many of it.
        rounds: how often each side is measured.
    """
    bare = _figure(compare_loops(data, clips, rounds), "bare / ours")
    yield Goal("training loop of the bare loop", bare, "", 0.9, at_least=True)
    lines = compare_trainer(data, clips, rounds)
    if len(lines) > 1:
        cached, uncached = (_figure(lines, f"Trainer / ours, {name}") for name in ("cached", "uncached"))
        yield Goal("epochs to transformers' Trainer, features from the cache", cached, "times", 1.05, at_least=True)
        yield Goal("the same, features each epoch", uncached, "times", 1.05, at_least=True)
    else:
        typer.echo(lines[0], err=True)
    encoding = compare_encoding(data, clips, rounds)
    filling = _figure(encoding, "encoder / filling")
    yield Goal("an encoder's feature pass, of the bare encoder", filling, "", 0.9, at_least=True)
    yield Goal("an epoch of a frozen encoder from the cache", _figure(encoding, "ratio"), "times", 20, at_least=True)
    for line in compare_fine_tuning(data, min(clips, _FINE_TUNED), rounds)[1:]:
        way, of_fp32, peak = _fine_tuning(line)
        yield Goal(f"fine-tuning of an encoder, {way}: an epoch, of fp32", of_fp32)
        yield Goal(f"the same, {way}: peak memory", peak, "MB")


def _fine_tuning(line: str) -> tuple[str, float, float]:
    """A way of fine-tuning, its time as a part of fp32's, and its peak memory in MB."""
    found = re.fullmatch(r"  (.*?) +[\d.]+ s an epoch, of fp32 +([\d.]+), peak +([\d.]+) MB", line)
    if found is None:
        raise ValueError(line)
    return found[1], float(found[2]), float(found[3])


def _figure(lines: Iterable[str], name: str) -> float:
    """What a line of a report says, which begins with a name."""
    (found,) = [line.strip().removeprefix(name) for line in lines if line.strip().startswith(name)]
    return float(re.findall(r"  +(-?[\d.]+)", found)[0])
