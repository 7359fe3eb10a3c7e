"""The scenarios of a plan, one after the other on one running service; those that need their own get their own."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from serving.benchmark.driver.clips import Clip, make_broken
from serving.benchmark.driver.load_generator import Client, Job
from serving.benchmark.driver.server_process import Server, running
from serving.benchmark.driver.statistics import spread
from serving.benchmark.driver.target import OURS, Target, driven
from serving.benchmark.driver.trace import Trace, poisson, to_trace
from serving.benchmark.scenarios.from_checkout import loadgen
from serving.benchmark.scenarios.profile import BenchmarkProfile, Clock
from serving.benchmark.scenarios.rate_search import search
from serving.benchmark.scenarios.scenarios import (
    IN_FLIGHT,
    MOST_IN_FLIGHT,
    SHARES,
    SIMPLE,
    Figures,
    bad_input,
    overload,
    server,
    soak,
)
from serving.benchmark.scenarios.streams import streams

SHARED = frozenset({*SIMPLE, "server", "soak", "search", "bad_input", "loadgen", "stream"})
"""Scenarios that share a service."""
_GOOD_TO_BAD = 3
_TOO_FAST = 1.25
"""Times the offline throughput: the search begins below it."""
_FIRST_REQUESTS = 20


@dataclass
class ScenarioRunner:
    """Runs scenarios on a service, which most of them share.

    Attributes:
        settings: of the service, by variable.
        scratch: folder for logs and broken files.
        limit_ms: p99 that the search holds the service to.
    """

    clips: Sequence[Clip]
    settings: Mapping[str, str]
    profile: BenchmarkProfile
    scratch: Path
    clock: Clock
    limit_ms: float
    _peak: float = field(default=0.0, init=False)
    _colds: list[tuple[float, float, float]] = field(default_factory=list, init=False)

    def run(self, scenarios: Sequence[str]) -> dict[str, Figures]:
        """Run those of ``scenarios`` that drive a service, and return the figures of each by its name."""
        measured: dict[str, Figures] = {}
        if SHARED & {*scenarios}:
            with contextlib.ExitStack() as stack:
                with self.clock.part("start of the service"):
                    target = stack.enter_context(self._started("scenarios"))
                    target.run(Job(count=len(self.clips), streams=IN_FLIGHT))
                for name in filter(SHARED.__contains__, scenarios):
                    with self.clock.part(name):
                        measured[name] = self._shared(name, target)
        for name, run in (("overload", self._overload), ("cold_start", self._cold_start)):
            if name in scenarios:
                with self.clock.part(name):
                    measured[name] = run()
        return measured

    def _service(self, name: str, **settings: str) -> contextlib.AbstractContextManager[Server]:
        return running({**self.settings, **settings}, self.scratch / f"{name}.log")

    @contextlib.contextmanager
    def _started(self, name: str) -> Iterator[Target]:
        """A service started cold, and timed: seconds until it is ready, ms of its first answer, and of the next."""
        began = time.perf_counter()
        with self._service(name) as server, driven(server, OURS, self.clips) as target:
            first = 1000 * float(target.run(Job(count=1))[0].latency[0])
            then = target.run(Job(count=_FIRST_REQUESTS))[0].latency_ms()["p50"]
            self._colds.append((server.ready - began, first, then))
            yield target

    def _shared(self, name: str, target: Target) -> Figures:
        if name in SIMPLE:
            measured = SIMPLE[name](target, self.profile)
            if name == "offline":
                self._peak = measured["clips_per_sec"]["median"]
            return measured
        if name == "stream":
            return streams(target, self.clips, self.profile)
        if not self._peak:
            self._peak = target.run(Job(seconds=self.profile.seconds, streams=IN_FLIGHT))[0].goodput
        of_peak: dict[str, Callable[[], Figures]] = {
            "server": lambda: server(target, self.profile, self._peak),
            "soak": lambda: soak(target, self.profile, self._peak),
            "search": lambda: self._search(target),
            "bad_input": lambda: self._bad_input(target),
            "loadgen": lambda: loadgen(target.server.port, self.clips, self.profile, self._peak),
        }
        return of_peak[name]()

    def _search(self, target: Target) -> Figures:
        def run(rate: float, seed: int) -> Trace:
            arrivals = poisson(rate, self.profile.seconds, 1000 * self.profile.seed + seed)
            return to_trace(target.client.run(Job(schedule=arrivals, first=seed)))

        return search(
            run, self.limit_ms, _TOO_FAST * self._peak, max(3, self.profile.repeats), self.profile.search_steps
        )

    def _bad_input(self, target: Target) -> Figures:
        rate = SHARES[0] * self._peak
        kinds = [file.path.read_bytes() for file in make_broken(self.scratch / "broken") if file.path.exists()]
        contents, bad = list[bytes](), list[bool]()
        for at, broken in enumerate(kinds):
            first = at * _GOOD_TO_BAD
            contents += [self.clips[(first + offset) % len(self.clips)].content for offset in range(_GOOD_TO_BAD)]
            contents.append(broken)
            bad += [False] * _GOOD_TO_BAD + [True]
        with Client(target.server.port, [OURS.request(content) for content in contents]) as client:
            return bad_input(replace(target, client=client), self.profile, rate, bad)

    def _overload(self) -> Figures:
        started = self._service("overload", EMOTIONS_MAX_IN_FLIGHT=str(MOST_IN_FLIGHT))
        with started as server, driven(server, OURS, self.clips) as target:
            return overload(target, self.profile)

    def _cold_start(self) -> Figures:
        """Start the service again and again; that of the other scenarios was started cold, too."""
        while len(self._colds) < self.profile.cold_starts:
            with self._started("cold"):
                pass
        ready, first, then = map(spread, zip(*self._colds, strict=True))
        return {"ready_sec": ready, "first_ms": first, "then_p50_ms": then}
