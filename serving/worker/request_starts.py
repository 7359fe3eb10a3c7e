"""When the requests that came are started: a few at each turn of the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

_STARTS = 4
"""Most requests that are started at a turn of the event loop."""


class RequestStarts:
    """The requests that are yet to be started, a few at each turn of the event loop.

    A request takes a dozen turns. If each turn began all requests that have come, one that is under way would wait for
    each of them a dozen times.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[RequestResponseCycle, Callable[[], None]]] = deque()

    def add(self, loop: asyncio.AbstractEventLoop, cycle: RequestResponseCycle, start: Callable[[], None]) -> None:
        """Start a request at the turn after the next, when it is known whether its client has left, or at a later one.

        Args:
            loop: the event loop.
            cycle: the request.
            start: starts it.
        """
        if not self._waiting:
            loop.call_soon(loop.call_soon, self._turn, loop)
        self._waiting.append((cycle, start))

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        started = 0
        while self._waiting and started < _STARTS:
            cycle, start = self._waiting.popleft()
            if not cycle.disconnected:
                started += 1
                start()
        if self._waiting:
            loop.call_soon(self._turn, loop)
