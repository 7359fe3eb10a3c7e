"""What the load generator itself costs: measured against a fake service of known delay, and printed in every report."""

from __future__ import annotations

from typing import Any

from serving.benchmark.driver.fake_server import fake_service
from serving.benchmark.driver.load_generator import Client, Job
from serving.benchmark.driver.target import OURS
from serving.benchmark.driver.trace import poisson, to_trace

RATE = 200.0
"""Requests a second at which the load generator's own cost is measured."""
MOST_CORES = 0.25
"""Of a core that it may take there."""
DELAY_SEC = 0.02
_UPLOAD_BYTES = 96_000
"""Three seconds of 16 bits at 16 kHz."""


def own_cost(seconds: float, rate: float = RATE) -> dict[str, Any]:
    """Cores and slip of the load generator in an open loop, and how well it measures the fake service's delay.

    Args:
        seconds: how long.
        rate: requests a second.
    """
    with fake_service(DELAY_SEC) as fake, Client(fake.port, [OURS.request(bytes(_UPLOAD_BYTES))]) as client:
        client.run(Job(count=1))
        trace = to_trace(client.run(Job(schedule=poisson(rate, seconds, seed=0))))
    return {
        "rate_per_sec": rate,
        "client_cores": trace.client_cores,
        "slip_p99_ms": trace.slip_ms,
        "delay_ms": 1000 * DELAY_SEC,
        "measured_p50_ms": trace.latency_ms().get("p50"),
        "within_limits": trace.client_cores <= MOST_CORES and not trace.void,
    }
