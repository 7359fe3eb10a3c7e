"""Figures of a wav2vec2 classifier of base size: int8 beside fp32 and beside the transformers pipeline."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from benchmarks.export import huggingface, int8
from benchmarks.goals.goal import Goal


def eight_bits(threads: int = 1, rounds: int = 5, seconds: float = 4.0) -> Iterator[Goal]:
    """int8 to fp32, and fp32 and int8 to the transformers pipeline, on the same random weights.

    Args:
        threads: CPU threads of each side.
        rounds: of each race.
        seconds: of the longest clip.
    """
    to_fp32 = _ratio(int8.benchmark(threads, rounds, seconds))
    to_pipeline = _ratio(huggingface.benchmark(threads, rounds, seconds, 6))
    yield Goal("wav2vec2-base, int8 to fp32", to_fp32, "", 2.8, at_least=True)
    yield Goal("wav2vec2-base, fp32 to the transformers pipeline", to_pipeline, "", 1.15, at_least=True)
    yield Goal("wav2vec2-base, int8 to the transformers pipeline", to_fp32 * to_pipeline, "", 5, at_least=True)


def _ratio(lines: Iterable[str]) -> float:
    (found,) = [match[1] for line in lines if (match := re.match(r"ratio ([\d.]+)", line))]
    return float(found)
