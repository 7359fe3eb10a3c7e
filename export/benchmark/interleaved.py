"""Races: sides take turns, so that a machine that is busy with other things slows all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping


def race(sides: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of one run of each side, over ``rounds`` rounds after one that warms up."""
    return {name: statistics.median(values) for name, values in rounds_of(sides, rounds).items()}


def rounds_of(sides: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each run of each side, over ``rounds`` rounds after one that warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, run in sides.items():
            began = time.perf_counter()
            run()
            if number:
                seconds[name].append(time.perf_counter() - began)
    return seconds
