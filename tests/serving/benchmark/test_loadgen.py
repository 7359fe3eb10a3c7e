"""MLPerf's LoadGen and our driver measure the same service alike, where it is installed."""

from __future__ import annotations

from statistics import median

import pytest

from serving.benchmark.api import OURS
from serving.benchmark.client import Client, Job
from serving.benchmark.fake import fake_service
from serving.benchmark.harness import DELAY_SEC
from serving.benchmark.loadgen import MODULE, loadgen
from serving.benchmark.trace import poisson, to_trace


def test_loadgen_agrees_within_five_in_a_hundred() -> None:
    pytest.importorskip(MODULE)
    requests = [OURS.request(bytes(9_000))] * 4
    ours, theirs = [], []
    with fake_service(DELAY_SEC) as fake, Client(fake.port, requests) as client:
        client.run(Job(count=1))
        for seed in range(3):
            ours.append(to_trace(client.run(Job(schedule=poisson(100, 2, seed)))).latency_ms()["p50"])
            theirs.append(loadgen(fake.port, requests, 100, 2, seed)["p50"])
    assert median(ours) / median(theirs) == pytest.approx(1, abs=0.05)
