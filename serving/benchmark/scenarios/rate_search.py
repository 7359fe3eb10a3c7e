"""The highest rate that a service sustains: p99 within a limit, and fewer than one request in a thousand unanswered.

Rates are tried by bisection, each with several repeats of its own arrivals; a rate passes by all its repeats together.
The interval is a bootstrap over blocks of a second: requests close to each other wait for each other, so that single
ones must not be drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from serving.benchmark.driver.statistics import DRAWS, LEVEL, Numbers
from serving.benchmark.driver.trace import Trace

_MOST_ERRORS = 0.001
_BLOCK_SEC = 1.0
_TRIES = 2
"""How often repeats that are void, because the client slipped, are tried."""


@dataclass
class _Probe:
    """A rate that was tried, with the repeats that count and how many were void."""

    rate: float
    traces: list[Trace]
    void: int

    @cached_property
    def blocks(self) -> list[Numbers]:
        return [block for trace in self.traces for block in _blocks(trace)]

    @property
    def p99_ms(self) -> float:
        """Of all repeats together; without an answer is later than any limit."""
        return _p99(self.blocks)

    @property
    def error_share(self) -> float:
        return float(np.mean(~np.concatenate([trace.good for trace in self.traces])))

    def passes(self, limit_ms: float) -> bool:
        """Whether the service sustains this rate; a client that slipped proves nothing."""
        slipped = any(trace.void for trace in self.traces)
        return not slipped and self.p99_ms <= limit_ms and self.error_share < _MOST_ERRORS


def _blocks(trace: Trace) -> list[Numbers]:
    """Latencies in ms of the queries due in each second; infinite where there was no answer."""
    latency = np.where(trace.good, 1000 * trace.latency, np.inf)
    seconds = (trace.due // _BLOCK_SEC).astype(int)
    return [latency[seconds == second] for second in np.unique(seconds)]


def _p99(blocks: Sequence[Numbers]) -> float:
    return float(np.percentile(np.concatenate(blocks), 99, method="higher"))


def search(
    run: Callable[[float, int], Trace], limit_ms: float, highest: float, repeats: int, steps: int
) -> dict[str, Any]:
    """Find the highest rate by bisection between 0 and ``highest``, its interval, and how each rate tried did.

    Args:
        run: drives the service at a rate, with the arrivals of a seed.
        limit_ms: of the p99 latency.
        highest: a rate that it surely does not bear, such as 1.2 times its offline throughput.
        repeats: of each rate.
        steps: rates to try.
    """
    low, high, probes = 0.0, highest, list[_Probe]()
    for step in range(steps):
        rate = (low + high) / 2
        # Seeds of its own, so that one lucky schedule of arrivals does not decide for every rate.
        probe = _probe(run, rate, [1 + 1000 * step + repeat for repeat in range(repeats)])
        probes.append(probe)
        low, high = (rate, high) if probe.passes(limit_ms) else (low, rate)
    probes.sort(key=lambda probe: probe.rate)
    return {
        "limit_ms": limit_ms,
        "repeats": repeats,
        "rate_per_sec": low,
        "interval": _interval(probes, limit_ms, low),
        "repeat_rates_per_sec": [
            _crossing(probes, [_p99(_blocks(probe.traces[repeat])) for probe in probes], limit_ms)
            for repeat in range(repeats)
        ],
        "probes": [
            {
                "rate_per_sec": probe.rate,
                "p99_ms": probe.p99_ms if np.isfinite(probe.p99_ms) else None,
                "error_share": probe.error_share,
                "void": probe.void,
                "passed": probe.passes(limit_ms),
            }
            for probe in probes
        ],
    }


def _probe(run: Callable[[float, int], Trace], rate: float, seeds: Sequence[int]) -> _Probe:
    """The repeats of a rate; void ones are tried again, and kept only where none of that seed was valid."""
    kept, void = [], 0
    for seed in seeds:
        for _ in range(_TRIES):
            trace = run(rate, seed)
            if not trace.void:
                break
            void += 1
        kept.append(trace)
    return _Probe(rate, kept, void)


def _interval(probes: Sequence[_Probe], limit_ms: float, found: float) -> list[float]:
    """Bootstrap interval of 95 % of the rate at which the p99 crosses the limit."""
    random = np.random.default_rng(0)

    def drawn(blocks: Sequence[Numbers]) -> float:
        return _p99([blocks[index] for index in random.integers(len(blocks), size=len(blocks))])

    crossings = [_crossing(probes, [drawn(probe.blocks) for probe in probes], limit_ms) for _ in range(DRAWS // 2)]
    low, high = np.percentile(crossings, LEVEL).tolist()
    return [min(low, found), max(high, found)]


def _crossing(probes: Sequence[_Probe], p99s: Sequence[float], limit_ms: float) -> float:
    """Rate at which the p99 crosses the limit, by its logarithm's straight line between two neighbouring rates."""
    below = (0.0, 1e-3)
    for probe, p99 in zip(probes, p99s, strict=True):
        if p99 > limit_ms:
            rate, floor = below
            if not np.isfinite(p99) or rate == 0.0:
                return rate
            share = np.log(limit_ms / floor) / np.log(p99 / floor)
            return float(rate + share * (probe.rate - rate))
        below = (probe.rate, max(p99, 1e-3))
    return below[0]
