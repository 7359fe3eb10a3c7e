"""The process in which LoadGen drives a service: its tests, what sends for it, and its logs."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any, Literal

import numpy as np

from emotions.errors import EmotionsError
from serving.benchmark.driver.http_connection import Pool
from serving.benchmark.driver.load_generator import MOST_CONNECTIONS, ClientProcess, Job, be_punctual, loop_factory
from serving.benchmark.driver.trace import OK
from serving.benchmark.scenarios.scenarios import IN_FLIGHT

_SCENARIOS = {"single_stream": "SingleStream", "server": "Server", "offline": "Offline"}
_SHORTEST_NS = 1_000_000
"""Latency for which LoadGen prepares the queries of a single stream: more than are sent in the time."""
_SLACK = 1.1
"""LoadGen's own: it sends so many times as many offline samples as it is asked for."""
_TRACE = "mlperf_log_trace.json"
_COMPLETE = re.compile(r'^\{"name":"Sample",.*"complete_ns":(\d+)', re.MULTILINE)


class LoadGen(ClientProcess):
    """The process.

    Args:
        port: of the service on the loopback interface.
        requests: whole HTTP requests, as bytes.
    """

    def __init__(self, port: int, requests: Sequence[bytes]) -> None:
        super().__init__(_serve, port, requests)

    def run(self, load: Load) -> Latencies:
        """One test of LoadGen's; what its trace says of each sample.

        Raises:
            EmotionsError: a request was not answered, or the process is gone.
        """
        try:
            answer: Latencies | str = self._ask(load)
        except (EOFError, OSError):
            raise EmotionsError("LoadGen's process ended by itself") from None
        if isinstance(answer, str):
            raise EmotionsError(answer)
        return answer


def _serve(pipe: Pipe, port: int, requests: list[bytes]) -> None:
    """Run tests until the pipe closes: what the process does."""
    be_punctual()
    with _sending() as loop:
        asyncio.run_coroutine_threadsafe(_warm(port, requests[0]), loop).result()
        while True:
            try:
                load: Load = pipe.recv()
            except EOFError:
                return
            pool = Pool(port, IN_FLIGHT if load.kind == "offline" else MOST_CONNECTIONS)
            if load.kind == "single_stream":
                sender, latencies = _one_by_one(pool, requests, load)
            else:
                sender = Sender(loop, pool, requests)
                latencies = drive(sender, load)
                loop.call_soon_threadsafe(pool.close)
            refused = f"the service did not answer {sender.refused} of LoadGen's requests"
            pipe.send(refused if sender.refused else latencies)


def _one_by_one(pool: Pool, requests: Sequence[bytes], load: Load) -> tuple[Sender, Latencies]:
    """A single stream, which needs no second thread: waking one costs a tenth of a request of 7 ms."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        sender = SenderInTurn(runner.get_loop(), pool, requests)
        latencies = drive(sender, load)
        pool.close()
    return sender, latencies


@contextlib.contextmanager
def _sending() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop in a thread of its own: LoadGen keeps the main one."""
    loop = (loop_factory() or asyncio.new_event_loop)()
    thread = threading.Thread(target=loop.run_forever, name="requests", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


async def _warm(port: int, request: bytes) -> None:
    """Send one request, as our driver's process has done before it is measured; a test opens its own connections."""
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


class SenderInTurn(Sender):
    """A sender whose loop runs in LoadGen's own thread, while it waits for the answer."""

    def issue(self, samples: Any) -> None:
        """LoadGen's: send these, one after the other."""
        for sample in samples:
            self._loop.run_until_complete(self._send(sample.id))


def drive(sender: Any, load: Load) -> Latencies:
    """Let LoadGen drive what has an ``issue`` like a sender's; seconds of each sample by its own trace."""
    with tempfile.TemporaryDirectory(prefix="emotions-loadgen-") as logs:
        _test(sender, _settings(load), logs)
        trace = (Path(logs) / _TRACE).read_text(encoding="utf-8")
    return [int(taken) / 1e9 for taken in _COMPLETE.findall(trace)]


def _settings(load: Load) -> Any:
    import mlperf_loadgen

    settings = mlperf_loadgen.TestSettings()
    settings.scenario = getattr(mlperf_loadgen.TestScenario, _SCENARIOS[load.kind])
    settings.mode = mlperf_loadgen.TestMode.PerformanceOnly
    settings.min_query_count = 1
    settings.min_duration_ms, settings.max_duration_ms = round(1000 * load.seconds), 0  # no limit beyond the first
    settings.server_target_qps = load.rate
    settings.single_stream_expected_latency_ns = _SHORTEST_NS
    if load.kind == "offline":
        settings.min_duration_ms = 1000
        settings.offline_expected_qps = (load.requests + 0.5) / _SLACK
    settings.qsl_rng_seed = settings.sample_index_rng_seed = settings.schedule_rng_seed = load.seed
    return settings


def _test(sender: Any, settings: Any, logs: str) -> None:
    import mlperf_loadgen

    written = mlperf_loadgen.LogSettings()
    written.log_output.outdir = logs
    written.log_output.copy_summary_to_stdout = False
    written.enable_trace = True
    system = mlperf_loadgen.ConstructSUT(sender.issue, lambda: None)
    library = mlperf_loadgen.ConstructQSL(1, 1, lambda _: None, lambda _: None)
    mlperf_loadgen.StartTestWithLogSettings(system, library, settings, written)
    mlperf_loadgen.DestroyQSL(library)
    mlperf_loadgen.DestroySUT(system)


Kind = Literal["single_stream", "server", "offline"]


Latencies = list[float]
"""Of one turn, in seconds, by request: from when it was due; offline, where all are due at once, from the start."""


@dataclass(frozen=True)
class Load:
    """What both drivers are to offer.

    Attributes:
        kind: of MLPerf's scenarios: one request at a time, Poisson arrivals, or ``IN_FLIGHT`` at any time.
        seconds: how long; offline for as many requests as ``rate`` makes of it.
        rate: requests a second of the server scenario; what offline is expected to reach.
        seed: of the arrivals, from 0.
    """

    kind: Kind
    seconds: float
    rate: float
    seed: int = 0

    @property
    def requests(self) -> int:
        """How many requests the offline scenario sends."""
        return max(1, round(self.rate * self.seconds))

    def job(self) -> Job:
        """The same for our driver."""
        if self.kind == "single_stream":
            return Job(seconds=self.seconds)
        if self.kind == "offline":
            return Job(count=self.requests, streams=IN_FLIGHT)
        return Job(schedule=arrivals(self.rate, self.seconds, self.seed))


def arrivals(rate: float, seconds: float, seed: int) -> tuple[float, ...]:
    """When LoadGen issues the queries of its server scenario: seconds, sorted, the first at 0.

    It draws gaps with ``std::exponential_distribution`` from ``std::mt19937``, two words for each, in nanoseconds, and
    stops with the first arrival at or after ``seconds``.
    """
    source, times = np.random.RandomState(seed), [0.0]
    while times[-1] < seconds:
        low, high = source.randint(0, 1 << 32, 2, np.uint32).tolist()
        gap = -np.log1p(-(low + high * 2.0**32) / 2.0**64) / rate
        times.append(times[-1] + int(1e9 * gap) / 1e9)
    return tuple(times)
