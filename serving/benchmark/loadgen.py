"""MLPerf's LoadGen as a driver of the same service, to see that ours agrees with it.

Optional: ``pip install 'emotions-toolkit[loadgen]'``. Both send the same recordings at the same rate; LoadGen draws
its own Poisson arrivals, and its own log says what it measured.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import tempfile
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from serving.benchmark.client import MOST_CONNECTIONS, Job, be_punctual, loop_factory
from serving.benchmark.extent import Extent
from serving.benchmark.load import Target
from serving.benchmark.scenarios import Figures
from serving.benchmark.trace import OK, poisson, to_trace
from serving.benchmark.wire import Pool

MODULE = "mlperf_loadgen"
SHARE = 0.5
"""Of the offline throughput: the rate of both."""
_QUANTILES = {"p50": "50.00", "p90": "90.00", "p99": "99.00"}


def agreement(target: Target, extent: Extent, rate: float, requests: Sequence[bytes]) -> Figures:
    """Latencies of both drivers at one rate, in turn, and ours to LoadGen's; ``not_run`` where it is not installed.

    Args:
        target: the service.
        extent: how long and how often.
        rate: requests a second.
        requests: what LoadGen sends: those of the target's client.
    """
    if find_spec(MODULE) is None:
        return {"not_run": "mlcommons-loadgen is not installed; pip install 'emotions-toolkit[loadgen]'"}
    ours: list[dict[str, float]] = []
    theirs: list[dict[str, float]] = []
    for seed in extent.seeds(9):
        ours.append(to_trace(target.client.run(Job(schedule=poisson(rate, extent.seconds, seed)))).latency_ms())
        theirs.append(loadgen(target.server.port, requests, rate, extent.seconds, seed))
    ratios = {key: median(run[key] for run in ours) / median(run[key] for run in theirs) for key in _QUANTILES}
    return {"offered_per_sec": rate, "ours_ms": ours, "loadgen_ms": theirs, "ours_to_loadgen": ratios}


def loadgen(port: int, requests: Sequence[bytes], rate: float, seconds: float, seed: int) -> dict[str, float]:
    """Latency quantiles in ms that LoadGen's server scenario reports, driven from a process of its own."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_drive, (port, [*requests], rate, seconds, seed))


def _drive(port: int, requests: list[bytes], rate: float, seconds: float, seed: int) -> dict[str, float]:
    be_punctual()
    loop = (loop_factory() or asyncio.new_event_loop)()
    thread = threading.Thread(target=loop.run_forever, name="requests", daemon=True)
    thread.start()
    try:
        with tempfile.TemporaryDirectory(prefix="emotions-loadgen-") as logs:
            _test(_Sender(loop, port, requests), len(requests), rate, seconds, seed, logs)
            return _latencies(Path(logs) / "mlperf_log_detail.txt")
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


class _Sender:
    """What LoadGen calls a system under test: sends its samples, and tells it of each answer."""

    def __init__(self, loop: asyncio.AbstractEventLoop, port: int, requests: list[bytes]) -> None:
        self._loop, self._pool, self._requests = loop, Pool(port, MOST_CONNECTIONS), requests

    def issue(self, samples: Any) -> None:
        for sample in samples:
            self._loop.call_soon_threadsafe(self._begin, sample.id, sample.index)

    def _begin(self, name: int, index: int) -> None:
        task = self._loop.create_task(self._send(name, index))
        task.add_done_callback(lambda done: done.result())

    async def _send(self, name: int, index: int) -> None:
        import mlperf_loadgen

        reply = await self._pool.exchange(self._requests[index])
        if reply.status == OK:
            mlperf_loadgen.QuerySamplesComplete([mlperf_loadgen.QuerySampleResponse(name, 0, 0)])


def _test(sender: _Sender, count: int, rate: float, seconds: float, seed: int, logs: str) -> None:
    import mlperf_loadgen

    settings = mlperf_loadgen.TestSettings()
    settings.scenario = mlperf_loadgen.TestScenario.Server
    settings.mode = mlperf_loadgen.TestMode.PerformanceOnly
    settings.server_target_qps = rate
    settings.min_duration_ms = settings.max_duration_ms = round(1000 * seconds)
    settings.min_query_count = 1
    settings.qsl_rng_seed = settings.sample_index_rng_seed = settings.schedule_rng_seed = seed + 1
    written = mlperf_loadgen.LogSettings()
    written.log_output.outdir = logs
    written.log_output.copy_summary_to_stdout = False
    written.enable_trace = False
    system = mlperf_loadgen.ConstructSUT(sender.issue, lambda: None)
    library = mlperf_loadgen.ConstructQSL(count, count, lambda _: None, lambda _: None)
    mlperf_loadgen.StartTestWithLogSettings(system, library, settings, written)
    mlperf_loadgen.DestroyQSL(library)
    mlperf_loadgen.DestroySUT(system)


def _latencies(log: Path) -> dict[str, float]:
    """Quantiles in ms of LoadGen's own log: a line each, JSON after a mark."""
    facts: dict[str, Any] = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        mark, _, content = line.partition(" ")
        if mark == ":::MLLOG":
            entry = json.loads(content)
            facts[entry["key"]] = entry["value"]
    return {key: facts[f"result_{percent}_percentile_latency_ns"] / 1e6 for key, percent in _QUANTILES.items()}
