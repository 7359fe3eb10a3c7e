from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from serving.benchmark.driver.trace import Trace, poisson
from serving.benchmark.scenarios.rate_search import search


def queue(rate: float, seed: int, *, service_sec: float = 0.01, slip: float = 0.0) -> Trace:
    """A queue with one server, by its recurrence: what a service at this rate would do."""
    due = np.array(poisson(rate, 20, seed))
    free, done = 0.0, []
    for at in due:
        free = max(free, at) + service_sec
        done.append(free)
    good = np.ones(len(due), bool)
    return Trace(due, np.array(done) - due, np.full(len(due), slip), good, Counter({200: len(due)}), 20, 0)


def test_the_rate_is_found_with_an_interval_around_it() -> None:
    found = search(queue, 50, 120, 3, 8)
    # A queue with fixed service of 10 ms has a p99 of 50 ms at about 0.63 of its capacity of 100/s.
    assert 50 < found["rate_per_sec"] < 80
    low, high = found["interval"]
    assert low <= found["rate_per_sec"] <= high
    assert high - low < 25
    assert len(found["repeat_rates_per_sec"]) == found["repeats"] == 3
    rates = [probe["rate_per_sec"] for probe in found["probes"]]
    assert rates == sorted(rates)
    assert [probe["passed"] for probe in found["probes"]] == [rate <= found["rate_per_sec"] for rate in rates]


def test_errors_beyond_one_in_a_thousand_are_too_many() -> None:
    def losing(rate: float, seed: int) -> Trace:
        trace = queue(rate, seed, service_sec=0.001)
        good = np.arange(len(trace.due)) % 500 > 0
        return Trace(trace.due, trace.latency, trace.slip, good, trace.statuses, 20, 0)

    found = search(losing, 50, 100, 3, 3)
    assert found["rate_per_sec"] == 0
    assert found["interval"][0] == 0
    assert all(probe["error_share"] > 0.001 for probe in found["probes"])


def test_what_the_client_slipped_on_is_tried_again_and_never_passes() -> None:
    tried = list[int]()

    def slipping(rate: float, seed: int) -> Trace:
        tried.append(seed)
        return queue(rate, seed, service_sec=0.001, slip=0.02)

    found = search(slipping, 50, 100, 3, 2)
    assert found["rate_per_sec"] == 0
    assert [probe["void"] for probe in found["probes"]] == [6, 6]
    assert len(tried) == 12


def test_a_rate_without_any_answer_has_no_latency() -> None:
    def dead(rate: float, seed: int) -> Trace:
        trace = queue(rate, seed)
        return Trace(trace.due, trace.latency, trace.slip, np.zeros(len(trace.due), bool), Counter({0: 9}), 20, 0)

    found = search(dead, 50, 100, 3, 1)
    assert found["probes"][0]["p99_ms"] is None
    assert found["rate_per_sec"] == pytest.approx(0)
