"""Interleaved runs: candidates take turns, so that whatever else the machine does slows all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import TypeVar

Result = TypeVar("Result")


def interleaved(
    candidates: Mapping[str, Callable[[], Result]],
    rounds: int,
    *,
    warm_up: bool = True,
    say: Callable[[str], None] | None = None,
) -> dict[str, list[Result]]:
    """Run every candidate once a round, every other round backwards: name -> what its runs returned, in order.

    Args:
        candidates: name -> what to run.
        rounds: how often.
        warm_up: run every candidate once more before, and drop what that gave.
        say: is given a line of progress before each round.
    """
    names = [*candidates]
    results: dict[str, list[Result]] = {name: [] for name in names}
    for number in range(0 if warm_up else 1, rounds + 1):
        if say is not None:
            say(f"repeat {number} of {rounds}" if number else "warming up")
        for name in names if number % 2 else reversed(names):
            result = candidates[name]()
            if number:
                results[name].append(result)
    return results


def seconds_of(run: Callable[[], object]) -> Callable[[], float]:
    """A candidate that returns how many seconds ``run`` took."""

    def timed() -> float:
        began = time.perf_counter()
        run()
        return time.perf_counter() - began

    return timed


def race(sides: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of one run of each side.

    Args:
        sides: name -> what to run.
        rounds: how often, after a round that warms up.
    """
    seconds = interleaved({name: seconds_of(run) for name, run in sides.items()}, rounds)
    return {name: median(values) for name, values in seconds.items()}
