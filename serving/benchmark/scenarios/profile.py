"""How long everything takes: one table for the whole run, one for the quick one.

The whole report is to take less than fifteen minutes on two cores, a quick one less than three; what is cut for that is
how long and on how many recordings something is measured, never how often: fewer than three repeats give no interval.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True)
class BenchmarkProfile:
    """How much of everything a run measures.

    Attributes:
        seconds: of each run of a scenario, of which there are ``repeats``, each with arrivals of its own.
        soak_times: length of the soak, in runs of ``seconds``.
        search_steps: rates that the search tries, each ``repeats`` times.
        cold_starts: starts of the service that are timed.
        harness_sec: seconds for which the harness itself is measured.
        clips: recordings in one pass of a layer, at most; ``peer_clips`` in one of a peer.
        passes: of each layer, after one that warms up; ``peer_passes`` of each peer, and of our service beside it.
    """

    seconds: float
    repeats: int = 3
    seed: int = 0
    soak_times: int = 10
    search_steps: int = 6
    cold_starts: int = 3
    harness_sec: float = 5.0
    clips: int = 160
    passes: int = 5
    peer_clips: int = 96
    peer_passes: int = 5

    def seeds(self, scenario: int) -> list[int]:
        """A seed for each repeat, none shared with another scenario."""
        return [1000 * self.seed + 100 * scenario + repeat for repeat in range(self.repeats)]


FULL = BenchmarkProfile(seconds=5.0)
QUICK = BenchmarkProfile(
    seconds=1.0,
    soak_times=4,
    search_steps=4,
    cold_starts=1,
    harness_sec=2.0,
    clips=24,
    passes=3,
    peer_clips=24,
    peer_passes=3,
)
FULL_SOAK_SEC = 600.0
"""Of a soak that proves something; the whole run has no time for it."""


@dataclass
class Clock:
    """Says what is being measured as it begins, and keeps how many seconds each part took."""

    say: Callable[[str], None]
    parts_sec: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """The block is a part; one that comes in several pieces is added up."""
        self.say(name)
        began = time.perf_counter()
        try:
            yield
        finally:
            self.add({name: time.perf_counter() - began})

    def add(self, parts_sec: Mapping[str, float]) -> None:
        """Add seconds to parts, by their names."""
        for name, seconds in parts_sec.items():
            self.parts_sec[name] = self.parts_sec.get(name, 0.0) + seconds
