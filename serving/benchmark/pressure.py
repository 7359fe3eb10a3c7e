"""The service at its peak, at 1.5 times that, and at half: goodput, how fast it sheds, and its memory."""

from __future__ import annotations

import http.client
import itertools
import re
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from serving.benchmark.clips import Clip
from serving.benchmark.server import Server

IN_FLIGHT = 24
"""Requests in flight that the service is told to take."""
_CONNECTIONS = 72
_OVERLOAD, _HALF = 1.5, 0.5
_TIMEOUT_SEC = 60
_SHED = frozenset({429, 503})
_BUCKET = re.compile(r'^emotions_reject_seconds_bucket\{le="([^"]+)"\} (\S+)$', re.M)


@dataclass
class Load:
    """What became of the requests of one part.

    Attributes:
        seconds: how long it lasted.
        statuses: how many got which status; 0 for those that got no answer.
        memory: bytes that the service held, twice a second.
        late: seconds by which the client was behind its schedule, a request each.
    """

    seconds: float
    statuses: Counter[int] = field(default_factory=Counter)
    memory: list[int] = field(default_factory=list)
    late: list[float] = field(default_factory=list)

    @property
    def goodput(self) -> float:
        """Recordings classified in a second."""
        return self.statuses[200] / self.seconds

    @property
    def growth(self) -> float:
        """How much more memory the last quarter took than the second: 0.05 for 5 %."""
        quarter = max(1, len(self.memory) // 4)
        return float(
            np.median(self.memory[-quarter:]) / np.median(self.memory[quarter : 2 * quarter] or self.memory) - 1
        )


def under_pressure(server: Server, clips: Sequence[Clip], seconds: float) -> dict[str, float]:
    """Find the peak in a closed loop, then draw arrivals at 1.5 times and at half of it.

    Returns:
        Figures by their names in words.
    """
    drive(server, clips, min(seconds, 3), None, IN_FLIGHT)
    peak = drive(server, clips, min(seconds, 15), None, IN_FLIGHT)
    before = _buckets(server)
    over = drive(server, clips, seconds, _OVERLOAD * peak.goodput)
    p95 = _quantile(before, _buckets(server), 0.95)
    half = drive(server, clips, seconds, _HALF * peak.goodput)
    return {
        "peak, clips/s": peak.goodput,
        "goodput at 1.5 times the peak, share of it": over.goodput / peak.goodput,
        "shed at 1.5 times, requests": float(sum(over.statuses[status] for status in _SHED)),
        "other than answered or shed": float(_failed(over)),
        "p95 of shedding in the server, ms": 1000 * p95,
        "memory growth at 1.5 times, %": 100 * over.growth,
        "p99 of the client's lag, ms": 1000 * float(np.percentile(over.late or [0], 99)),
        "shed at half load, requests": float(sum(half.statuses[status] for status in _SHED)),
        "lost at half load": float(_failed(half)),
        "memory growth at half load, %": 100 * half.growth,
    }


def _failed(load: Load) -> int:
    return sum(count for status, count in load.statuses.items() if status != 200 and status not in _SHED)


def drive(
    server: Server, clips: Sequence[Clip], seconds: float, rate: float | None, connections: int = _CONNECTIONS
) -> Load:
    """Send recordings for a while: as fast as they are answered, or at a drawn schedule of ``rate`` a second."""
    load, lock = Load(seconds), threading.Lock()
    gaps = np.random.default_rng(0).exponential(1 / rate, int(rate * seconds * 1.2) + 10) if rate else None
    schedule = iter(np.cumsum(gaps).tolist()) if gaps is not None else itertools.repeat(0.0)
    contents = itertools.cycle([clip.content for clip in clips])
    started = time.perf_counter()

    def work() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=_TIMEOUT_SEC)
        while True:
            with lock:
                due, content = next(schedule, seconds), next(contents)
            wait = due - (time.perf_counter() - started)
            if due >= seconds or time.perf_counter() - started >= seconds:
                break
            time.sleep(max(0.0, wait))
            status = _send(connection, content)
            with lock:
                load.statuses[status] += 1
                load.late.append(max(0.0, -wait) if rate else 0.0)
        connection.close()

    with ThreadPoolExecutor(connections, thread_name_prefix="client") as pool:
        workers = [pool.submit(work) for _ in range(connections)]
        while time.perf_counter() - started < seconds:
            load.memory.append(server.memory_bytes())
            time.sleep(0.5)
        for worker in workers:
            worker.result()
    return load


def _send(connection: http.client.HTTPConnection, content: bytes) -> int:
    """Upload one recording; its status, or 0 where there is no answer."""
    try:
        connection.request("POST", "/v1/predict", content, {"Content-Type": "application/octet-stream"})
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException):
        connection.close()
        return 0
    return response.status


def _buckets(server: Server) -> dict[float, float]:
    """Cumulative counts of the histogram of what was shed, by the seconds below which they are."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=_TIMEOUT_SEC)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return {float(edge): float(count) for edge, count in _BUCKET.findall(text)}


def _quantile(before: dict[float, float], after: dict[float, float], share: float) -> float:
    """Upper edge of the bucket that holds a quantile of what came between two scrapes; 0 where nothing did."""
    counts = {edge: after[edge] - before.get(edge, 0.0) for edge in sorted(after)}
    total = max(counts.values(), default=0.0)
    return next((edge for edge, count in counts.items() if total and count >= share * total), 0.0)
