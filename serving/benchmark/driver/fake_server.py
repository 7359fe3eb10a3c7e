"""A fake service of known delay and stalls: what the harness measures itself against.

It answers any request after ``delay_sec``; what would be answered during a stall is answered at its end. It runs in a
process of its own, so that it competes with the client for the CPU as a service does.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection as Pipe
from typing import cast

import httptools

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
_STOP_SEC = 5.0


class _Session(asyncio.Protocol):
    """One connection: parse, wait, answer."""

    def __init__(self, delay_sec: float, stalls: list[tuple[float, float]]) -> None:
        self._delay_sec, self._stalls = delay_sec, stalls
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        now = time.perf_counter()
        done = now + self._delay_sec
        for begin, end in self._stalls:
            if begin <= done < end:
                done = end
        asyncio.get_running_loop().call_later(done - now, self._answer)

    def _answer(self) -> None:
        if self._transport is not None:
            self._transport.write(_ANSWER)


def _serve(pipe: Pipe, delay_sec: float) -> None:
    """Serve until the pipe closes; a pair that comes over it is a stall, in ``time.perf_counter`` of this machine."""

    async def run() -> None:
        loop, stalls, closed = asyncio.get_running_loop(), list[tuple[float, float]](), asyncio.Event()

        def receive_stall() -> None:
            try:
                stalls.append(pipe.recv())
                pipe.send(True)
            except EOFError:
                closed.set()

        server = await loop.create_server(lambda: _Session(delay_sec, stalls), "127.0.0.1", 0)
        loop.add_reader(pipe.fileno(), receive_stall)
        pipe.send(server.sockets[0].getsockname()[1])
        await closed.wait()

    asyncio.run(run())


class Fake:
    """A running fake service: its ``port``, and how to make it stall."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self.port: int = pipe.recv()

    def stall(self, after_sec: float, seconds: float) -> None:
        """Answer nothing for a while.

        Args:
            after_sec: seconds from now until the stall begins.
            seconds: its length.
        """
        begin = time.perf_counter() + after_sec
        self._pipe.send((begin, begin + seconds))
        self._pipe.recv()


@contextlib.contextmanager
def fake_service(delay_sec: float) -> Iterator[Fake]:
    """Run a fake service until the block ends."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, delay_sec), daemon=True)
    process.start()
    theirs.close()
    try:
        yield Fake(ours)
    finally:
        ours.close()
        process.join(_STOP_SEC)
        if process.is_alive():
            process.kill()
