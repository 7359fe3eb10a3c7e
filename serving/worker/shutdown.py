"""Time limits of requests, and the end of a worker: on SIGTERM those in flight are answered, within a limit."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator
from types import FrameType

logger = logging.getLogger("bentoml.emotions")


class Drain:
    """The requests in flight of one worker and how long they may still take. Belongs to one event loop.

    Args:
        cap_sec: most seconds that requests get once the end has begun.
        delay_sec: seconds that new connections are still taken then, for a balancer to see that it is not ready.
    """

    def __init__(self, cap_sec: float, delay_sec: float) -> None:
        self._cap_sec = cap_sec
        self._delay_sec = delay_sec
        self._ends: float | None = None
        self._limits: set[asyncio.Timeout] = set()

    @property
    def draining(self) -> bool:
        """Whether this worker is about to end."""
        return self._ends is not None

    @contextlib.asynccontextmanager
    async def limit(self, seconds: float) -> AsyncIterator[asyncio.Timeout]:
        """Limit a request to ``seconds``, and to what is left once the end has begun.

        Raises:
            TimeoutError: it took longer.
        """
        now = asyncio.get_running_loop().time()
        until = now + seconds if self._ends is None else min(now + seconds, self._ends)
        async with asyncio.timeout_at(until) as limited:
            self._limits.add(limited)
            try:
                yield limited
            finally:
                self._limits.discard(limited)

    def begin(self) -> None:
        """Begin the end: not ready from now on, and requests in flight have until the cap."""
        loop = asyncio.get_running_loop()
        self._ends = loop.time() + self._delay_sec + self._cap_sec
        for limited in self._limits:
            limited.reschedule(min(limited.when() or self._ends, self._ends))
        logger.info("draining: %d requests in flight", len(self._limits))

    def on_sigterm(self) -> None:
        """Begin at SIGTERM, and let the server end after the delay. To be called from the event loop's thread."""
        loop = asyncio.get_running_loop()
        before = signal.getsignal(signal.SIGTERM)

        def end() -> None:
            if callable(before):
                before(signal.SIGTERM, None)

        def begin() -> None:
            if not self.draining:
                self.begin()
                loop.call_later(self._delay_sec, end)

        def handle(_: int, __: FrameType | None) -> None:
            loop.call_soon_threadsafe(begin)

        signal.signal(signal.SIGTERM, handle)
