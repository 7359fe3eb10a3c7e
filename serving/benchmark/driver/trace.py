"""What the load generator recorded, as figures: latencies, slip, errors, and whether the run may be believed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from emotions.runtime.prediction import Prediction
from serving.benchmark.driver.load_generator import Record
from serving.benchmark.driver.passes import largest_difference
from serving.benchmark.driver.statistics import Numbers

MOST_SLIP_MS = 5.0
"""A run whose client missed its schedule by more (p99) is void: it did not offer the load that it says."""
SHED = frozenset({429, 503})
"""Answers of a service that refuses what it has no room for."""
QUANTILES = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p99.9": 99.9, "max": 100.0}
OK = 200


@dataclass(frozen=True)
class Trace:
    """One run of a scenario; arrays are (queries,).

    Attributes:
        due: seconds from the start at which each was to be sent, sorted.
        latency: seconds from then until its last answer.
        slip: seconds by which the client sent it late.
        good: whether all its answers were 200.
        statuses: how many requests got which status; 0 for those without an answer.
        seconds: how long the run took.
        max_abs_diff: largest difference of an answer's probability to the prediction for the clip alone.
    """

    due: Numbers
    latency: Numbers
    slip: Numbers
    good: npt.NDArray[np.bool_]
    statuses: Counter[int]
    seconds: float
    client_cpu_sec: float
    max_abs_diff: float = 0.0

    @property
    def requests(self) -> int:
        """Requests sent."""
        return self.statuses.total()

    @property
    def goodput(self) -> float:
        """Requests answered with 200, a second."""
        return self.statuses[OK] / self.seconds

    @property
    def error_share(self) -> float:
        """Share of requests that were not answered with 200."""
        return 1 - self.statuses[OK] / max(1, self.requests)

    @property
    def failed(self) -> int:
        """Requests neither answered with 200 nor shed."""
        return sum(count for status, count in self.statuses.items() if status != OK and status not in SHED)

    @property
    def shed(self) -> int:
        """Requests that the service refused because it is full."""
        return sum(self.statuses[status] for status in SHED)

    @property
    def slip_ms(self) -> float:
        """p99 of the client's slip, in milliseconds."""
        return 1000 * float(np.percentile(self.slip, 99)) if len(self.slip) else 0.0

    @property
    def client_cores(self) -> float:
        """Share of a core that the client took."""
        return self.client_cpu_sec / self.seconds

    @property
    def void(self) -> bool:
        """Whether the client slipped too much for the run to count."""
        return self.slip_ms > MOST_SLIP_MS

    def latency_ms(self) -> dict[str, float]:
        """Quantiles of the latency of good queries in milliseconds; empty where there was none."""
        good = 1000 * self.latency[self.good]
        if not len(good):
            return {}
        return dict(zip(QUANTILES, np.percentile(good, [*QUANTILES.values()]).tolist(), strict=True))


def to_trace(record: Record, expected: Sequence[Prediction] = (), probabilities: Any = None) -> Trace:
    """Figures of a record.

    Args:
        record: what the client noted.
        expected: the prediction for each request's clip alone; none to leave the answers unread.
        probabilities: takes them from an answer's JSON.
    """
    queries = sorted(record.queries, key=lambda query: query.due)
    due, sent, done = (
        np.array([getattr(query, name) for query in queries], np.float64) for name in ("due", "sent", "done")
    )
    replies = [(index, reply) for query in queries for index, reply in query.replies]
    answered = [(index, reply.body) for index, reply in replies if reply.status == OK]
    difference = 0.0
    if expected and answered:
        answers = [probabilities(json.loads(body)) for _, body in answered]
        difference = largest_difference(answers, [expected[index % len(expected)] for index, _ in answered])
    return Trace(
        due,
        done - due,
        sent - due,
        np.array([all(reply.status == OK for _, reply in query.replies) for query in queries], bool),
        Counter(reply.status for _, reply in replies),
        record.wall_sec,
        record.cpu_sec,
        difference,
    )


def poisson(rate: float, seconds: float, seed: int) -> tuple[float, ...]:
    """Arrivals of a Poisson process, drawn beforehand: seconds, sorted; the same for a seed.

    Args:
        rate: mean arrivals a second.
        seconds: length.
        seed: of the gaps.
    """
    random = np.random.default_rng(seed)
    # Six standard deviations more than come on average, so that the gaps always suffice.
    gaps = random.exponential(1 / rate, int(rate * seconds + 6 * np.sqrt(rate * seconds)) + 10)
    arrivals = np.cumsum(gaps)
    return tuple(arrivals[arrivals < seconds].tolist()) or (0.0,)


def bursts(size: int, every_sec: float, count: int) -> tuple[float, ...]:
    """Arrivals in bursts: seconds, sorted.

    Args:
        size: requests due at the same instant.
        every_sec: seconds from one burst to the next.
        count: bursts.
    """
    return tuple(burst * every_sec for burst in range(count) for _ in range(size))
