"""The load generator: a process of its own that sends requests and notes when.

Latency is counted from the moment a request was due, not from when it could be sent: a service that stalls cannot hide
it by slowing the client down. What the client itself costs, and by how much it missed its own schedule, is noted, too.
This module imports neither numpy nor the toolkit: what the process carries is what it sends.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection as Pipe
from typing import Any, Self

from serving.benchmark.driver.http_connection import Pool, Reply

MOST_CONNECTIONS = 1024
_PATIENCE_SEC = 60.0
_STOP_SEC = 10.0
_NICE = -20
_SOON_SEC = 1e-6  # a timer of 0 seconds would never ring
_REAL_TIME = 1
"""Lowest priority of real time: above all that has none."""


@dataclass(frozen=True)
class Job:
    """What to send.

    Attributes:
        schedule: seconds at which requests are due, sorted: an open loop; empty for a closed one.
        streams: requests that a closed loop keeps in flight.
        together: requests of one query: they are sent at once, and the next query when all are answered.
        seconds: after which a closed loop starts no query.
        count: queries of a closed loop; None for as many as fit into ``seconds``.
        first: index of the request to begin with; they are sent in order, again and again.
    """

    schedule: tuple[float, ...] = ()
    streams: int = 1
    together: int = 1
    seconds: float = _PATIENCE_SEC
    count: int | None = None
    first: int = 0


@dataclass(frozen=True)
class Sent:
    """One query: ``due``, ``sent`` and ``done`` in seconds from the start, ``replies`` by the index of the request."""

    due: float
    sent: float
    done: float
    replies: tuple[tuple[int, Reply], ...]


@dataclass
class Record:
    """What a job gave: its queries in the order they were done, seconds that it took, CPU seconds of this process."""

    queries: list[Sent] = field(default_factory=list)
    started: float = 0.0
    wall_sec: float = 0.0
    cpu_sec: float = 0.0


Drive = Callable[[Any, int, Sequence[bytes]], Coroutine[Any, Any, object]]
"""Does a job, given the port and the requests."""


class ClientProcess:
    """A process that sends requests when it is asked to; use it as a context manager.

    Args:
        serve: what the process runs, given its end of a pipe, the port and the requests, until the pipe closes.
        port: of the service on the loopback interface.
        requests: whole HTTP requests, as bytes.
    """

    def __init__(self, serve: Callable[[Pipe, int, list[bytes]], None], port: int, requests: Sequence[bytes]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, self._theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(self._theirs, port, [*requests]), daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        self._theirs.close()
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.join(_STOP_SEC)
        if self._process.is_alive():
            self._process.kill()

    def _ask(self, job: Any) -> Any:
        """Send the process a job, and wait for what it gave."""
        self._pipe.send(job)
        return self._pipe.recv()


class Client(ClientProcess):
    """The load generator's process. Arguments as those of ``ClientProcess``."""

    def __init__(self, port: int, requests: Sequence[bytes]) -> None:
        super().__init__(partial(serve_jobs, _drive), port, requests)

    def run(self, job: Job) -> Record:
        """Do a job and wait for it."""
        record: Record = self._ask(job)
        return record


def serve_jobs(drive: Drive, pipe: Pipe, port: int, requests: list[bytes]) -> None:
    """Do jobs until the pipe closes: what the process runs.

    Args:
        drive: does one.
        pipe: brings jobs, and takes what each gave.
        port: of the service on the loopback interface.
        requests: what to send.
    """
    be_punctual()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        while True:
            try:
                job = pipe.recv()
            except EOFError:
                return
            pipe.send(runner.run(drive(job, port, requests)))
            gc.collect()  # between jobs, for it is off during them


def be_punctual() -> None:
    """Keep what would delay this process away from it: others on its cores, and garbage collection.

    It takes a few hundredths of a core, so that it costs the service little to come first; where it comes second, a
    service that keeps every core busy makes it late by some milliseconds. Not every user may ask for that, and not
    every system has it: without it, runs that are late are void.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_REAL_TIME))
    except (AttributeError, OSError):
        with contextlib.suppress(AttributeError, OSError):
            os.setpriority(os.PRIO_PROCESS, 0, _NICE)
    gc.freeze()
    gc.disable()


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where it is installed."""
    try:
        import uvloop
    except ImportError:  # there is none for Windows
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def _drive(job: Job, port: int, requests: Sequence[bytes]) -> Record:
    """Do a job in this event loop."""
    run = _Run(job, Pool(port, MOST_CONNECTIONS), requests)
    run.record.started, cpu = time.perf_counter(), time.process_time()
    await (run.open_loop() if job.schedule else run.closed_loop())
    run.record.wall_sec, run.record.cpu_sec = run.now(), time.process_time() - cpu
    run.pool.close()
    return run.record


class _Run:
    def __init__(self, job: Job, pool: Pool, requests: Sequence[bytes]) -> None:
        self.job, self.pool, self.requests = job, pool, requests
        self.record = Record()
        self._order = itertools.count(job.first)

    def now(self) -> float:
        return time.perf_counter() - self.record.started

    async def open_loop(self) -> None:
        """Send each query when it is due, whatever became of those before it.

        A timer's signal says when, for an event loop's own timers count milliseconds: with those, queries left up to
        one early or late. A thread that kept time would have to wake the loop's: on an idle machine that costs as much
        again as its own waking.
        """
        loop, pending = asyncio.get_running_loop(), list[asyncio.Task[None]]()
        schedule, ended = iter(self.job.schedule), loop.create_future()
        due = next(schedule, None)

        def begin() -> None:
            nonlocal due
            while due is not None and due <= self.now():
                pending.append(loop.create_task(self._query(due)))
                due = next(schedule, None)
            if due is not None:
                signal.setitimer(signal.ITIMER_REAL, max(due - self.now(), _SOON_SEC))
            elif not ended.done():
                ended.set_result(None)

        loop.add_signal_handler(signal.SIGALRM, begin)
        try:
            begin()
            await ended
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            loop.remove_signal_handler(signal.SIGALRM)
        await _finish(pending, _PATIENCE_SEC)

    async def closed_loop(self) -> None:
        """Keep ``streams`` queries in flight: a stream sends its next one when its last was answered."""
        left = itertools.count() if self.job.count is None else iter(range(self.job.count))
        streams = [asyncio.create_task(self._stream(left)) for _ in range(self.job.streams)]
        await _finish(streams, self.job.seconds + _PATIENCE_SEC)

    async def _stream(self, left: Any) -> None:
        while self.now() < self.job.seconds and next(left, None) is not None:
            await self._query(self.now())

    async def _query(self, due: float) -> None:
        sent = self.now()
        chosen = [next(self._order) % len(self.requests) for _ in range(self.job.together)]
        replies = [Reply(0)] * len(chosen)
        try:
            replies = await _gathered([self.pool.exchange(self.requests[index]) for index in chosen])
        finally:  # one that is cancelled for its lateness counts, too: without an answer
            self.record.queries.append(Sent(due, sent, self.now(), tuple(zip(chosen, replies, strict=True))))


async def _gathered(exchanges: list[Coroutine[Any, Any, Reply]]) -> list[Reply]:
    """Await all at once; the usual single one without the cost of a task."""
    return [await exchanges[0]] if len(exchanges) == 1 else await asyncio.gather(*exchanges)


async def _finish(tasks: list[asyncio.Task[None]], patience_sec: float) -> None:
    """Wait for tasks, and cancel those that are late."""
    _, late = await asyncio.wait(tasks, timeout=patience_sec)
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late)
