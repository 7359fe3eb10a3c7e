"""The process in which LoadGen drives a service: its test, what sends for it, and its log."""

from __future__ import annotations

import asyncio
import itertools
import json
import multiprocessing
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from emotions.errors import EmotionsError
from serving.benchmark.client import MOST_CONNECTIONS, be_punctual, loop_factory
from serving.benchmark.loadgen import QUANTILES, Load, Measured
from serving.benchmark.scenarios import IN_FLIGHT
from serving.benchmark.trace import OK
from serving.benchmark.wire import Pool

_SCENARIOS = {"single_stream": "SingleStream", "server": "Server", "offline": "Offline"}
_SHORTEST_NS = 1_000_000
"""Latency for which LoadGen prepares the queries of a single stream: more than are sent in the time."""
_SLACK = 1.1
"""LoadGen's own: it sends so many times as many offline samples as it is asked for."""


def loadgen(load: Load, port: int, requests: Sequence[bytes]) -> Measured:
    """What LoadGen's log says of a load, driven from a process of its own.

    Raises:
        EmotionsError: a request was not answered.
    """
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_drive, (load, port, [*requests]))


def _drive(load: Load, port: int, requests: list[bytes]) -> Measured:
    be_punctual()
    loop = (loop_factory() or asyncio.new_event_loop)()
    thread = threading.Thread(target=loop.run_forever, name="requests", daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(_warm(port, requests[0]), loop).result()
        sender = Sender(loop, Pool(port, IN_FLIGHT if load.kind == "offline" else MOST_CONNECTIONS), requests)
        with tempfile.TemporaryDirectory(prefix="emotions-loadgen-") as logs:
            run_test(sender, load, logs)
            told = figures(load, Path(logs) / "mlperf_log_detail.txt")
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
    if sender.refused:
        raise EmotionsError(f"the service did not answer {sender.refused} of LoadGen's requests")
    return told


async def _warm(port: int, request: bytes) -> None:
    """Send one request, as our driver's process has done before it is measured; the test opens its own connections."""
    pool = Pool(port, 1)
    await pool.exchange(request)
    pool.close()


class Sender:
    """What LoadGen calls a system under test: sends a recording for each sample, and tells it of each answer.

    Recordings go out in turn, as our driver sends them, whichever samples LoadGen draws.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, pool: Pool, requests: Sequence[bytes]) -> None:
        self.refused = 0
        self._loop, self._pool, self._requests = loop, pool, itertools.cycle(requests)
        self._tasks: set[asyncio.Task[None]] = set()

    def issue(self, samples: Any) -> None:
        """LoadGen's: these samples are due."""
        for sample in samples:
            self._loop.call_soon_threadsafe(self._begin, sample.id)

    def _begin(self, name: int) -> None:
        task = self._loop.create_task(self._send(name))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, name: int) -> None:
        import mlperf_loadgen

        reply = await self._pool.exchange(next(self._requests))
        self.refused += reply.status != OK
        # Of one that was refused, too: LoadGen would wait for it for ever.
        mlperf_loadgen.QuerySamplesComplete([mlperf_loadgen.QuerySampleResponse(name, 0, 0)])


def run_test(sender: Any, load: Load, logs: str) -> None:
    """Let LoadGen drive a sender, and write its logs into a folder."""
    import mlperf_loadgen

    settings = mlperf_loadgen.TestSettings()
    settings.scenario = getattr(mlperf_loadgen.TestScenario, _SCENARIOS[load.kind])
    settings.mode = mlperf_loadgen.TestMode.PerformanceOnly
    settings.min_query_count = 1
    settings.min_duration_ms = settings.max_duration_ms = round(1000 * load.seconds)
    settings.server_target_qps = load.rate
    settings.single_stream_expected_latency_ns = _SHORTEST_NS
    if load.kind == "offline":
        settings.min_duration_ms = settings.max_duration_ms = 1000
        settings.offline_expected_qps = (load.requests + 0.5) / _SLACK
    settings.qsl_rng_seed = settings.sample_index_rng_seed = settings.schedule_rng_seed = load.seed
    written = mlperf_loadgen.LogSettings()
    written.log_output.outdir = logs
    written.log_output.copy_summary_to_stdout = False
    written.enable_trace = False
    system = mlperf_loadgen.ConstructSUT(sender.issue, lambda: None)
    library = mlperf_loadgen.ConstructQSL(1, 1, lambda _: None, lambda _: None)
    mlperf_loadgen.StartTestWithLogSettings(system, library, settings, written)
    mlperf_loadgen.DestroyQSL(library)
    mlperf_loadgen.DestroySUT(system)


def figures(load: Load, log: Path) -> Measured:
    """What LoadGen's own log says: a line each, JSON after a mark."""
    facts: dict[str, Any] = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        mark, _, content = line.partition(" ")
        if mark == ":::MLLOG":
            entry = json.loads(content)
            facts[entry["key"]] = entry["value"]
    if load.kind == "offline":
        return {"requests": load.requests, "clips_per_sec": float(facts["result_samples_per_second"])}
    latencies = {
        name: facts[f"result_{100 * share:.2f}_percentile_latency_ns"] / 1e6 for name, share in QUANTILES.items()
    }
    return {"requests": facts["result_query_count"], **latencies}
