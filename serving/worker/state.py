"""The state of a worker process: its engine, time limits of its requests, and graceful shutdown.

On SIGTERM the requests in flight are answered, within a limit.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from serving.telemetry.metrics import Metrics
from serving.telemetry.requests import RequestContext
from serving.worker.engine import Engine
from serving.worker.models import Models
from serving.worker.shared import Shared

_HANGS_SEC = 10.0
logger = logging.getLogger("bentoml.emotions")


class Drain:
    """Deadlines of the requests in flight of one worker. Belongs to one event loop.

    Args:
        drain_sec: most seconds that requests get once shutdown has begun and the delay is over.
        delay_sec: seconds for which new connections are still accepted then, for a load balancer to see that the
            worker is not ready.

    Attributes:
        on_begin: called when shutdown begins, for what has no end of its own.
    """

    def __init__(self, drain_sec: float, delay_sec: float) -> None:
        self._drain_sec = drain_sec
        self._delay_sec = delay_sec
        self._ends: float | None = None
        self._limits: set[asyncio.Timeout] = set()
        self.on_begin: set[Callable[[], None]] = set()

    @property
    def draining(self) -> bool:
        """Whether shutdown has begun."""
        return self._ends is not None

    @contextlib.asynccontextmanager
    async def limit(self, seconds: float) -> AsyncIterator[asyncio.Timeout]:
        """Limit a request to ``seconds``, and to what is left once shutdown has begun; later it raises TimeoutError."""
        now = asyncio.get_running_loop().time()
        until = now + seconds if self._ends is None else min(now + seconds, self._ends)
        async with asyncio.timeout_at(until) as limited:
            self._limits.add(limited)
            try:
                yield limited
            finally:
                self._limits.discard(limited)

    def begin(self) -> None:
        """Begin shutdown: the worker is not ready any more, and requests in flight get the end as their deadline."""
        loop = asyncio.get_running_loop()
        self._ends = loop.time() + self._delay_sec + self._drain_sec
        for limited in self._limits:
            if limited.expired():
                continue
            limited.reschedule(min(limited.when() or self._ends, self._ends))
        for told in [*self.on_begin]:
            told()
        logger.info("draining: %d requests in flight", len(self._limits))

    def on_sigterm(self) -> None:
        """Begin shutdown at SIGTERM, and let the server end after the delay. Call it in the event loop's thread."""
        loop = asyncio.get_running_loop()
        server_handler = signal.getsignal(signal.SIGTERM)

        def end() -> None:
            if callable(server_handler):
                server_handler(signal.SIGTERM, None)

        def begin() -> None:
            if not self.draining:
                self.begin()
                loop.call_later(self._delay_sec, end)

        def handle(_: int, __: FrameType | None) -> None:
            loop.call_soon_threadsafe(begin)

        signal.signal(signal.SIGTERM, handle)

    def end_at_the_latest(self) -> None:
        """End this process some seconds after its requests' last deadline, whatever hangs: a driver may for ever."""
        latest = threading.Timer(self._delay_sec + self._drain_sec + _HANGS_SEC, os._exit, [1])
        latest.daemon = True
        latest.start()

    async def end_with(self, supervisor: int, every_sec: float = 1.0) -> None:
        """Send this process SIGTERM when its supervisor has gone, as by SIGKILL: nobody else would end it.

        Args:
            supervisor: id of the process that started this one; it may have gone already.
            every_sec: seconds between two looks.
        """
        while os.getppid() == supervisor or _is_running(supervisor):
            await asyncio.sleep(every_sec)
        logger.error("the process that started this worker is gone: it ends, too")
        os.kill(os.getpid(), signal.SIGTERM)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


@dataclass(eq=False)
class WorkerState:
    """The metrics of a worker, time limits of its requests, and its models; their routes answer 503 until they load.

    Attributes:
        bentoml_openapi: gives the OpenAPI document of BentoML's own routes.
        shared: what the models share; None until there are any.
    """

    metrics: Metrics
    drain: Drain
    bentoml_openapi: Callable[[], dict[str, Any]] = dict
    models: Models = field(default_factory=Models)
    shared: Shared | None = None

    @property
    def engine(self) -> Engine | None:
        """That of the default model."""
        return self.models.default.engine

    @engine.setter
    def engine(self, engine: Engine | None) -> None:
        self.models.default.engine = engine
        if engine is not None:
            self.models.default.name = engine.name

    @property
    def ready(self) -> bool:
        """Whether the default model is loaded, its device is there, and the worker is not shutting down."""
        return self.engine is not None and not self.engine.lost and not self.drain.draining

    async def end_with_device(self, every_sec: float = 0.1) -> None:
        """Send this process SIGTERM when the model's device is lost: its supervisor starts another, which may use it.

        Args:
            every_sec: seconds between two looks.
        """
        while not (lost := [engine.lost for engine in self.models.engines if engine.lost]):
            await asyncio.sleep(every_sec)
        logger.error("%s: this worker ends", lost[0])
        self.drain.end_at_the_latest()
        os.kill(os.getpid(), signal.SIGTERM)

    def engine_of(self, context: RequestContext) -> Engine | None:
        """The engine that a request will use, if it runs a model and that is loaded."""
        classifies = context.route.classifies and context.method == context.route.method
        served = self.models.find(context.model) if classifies else None
        return served.engine if served else None
