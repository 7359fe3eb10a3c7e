"""One HTTP connection of the load generator: a ready-made request out, status and body in, as little as can be."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import cast

import httptools


@dataclass(frozen=True)
class Reply:
    """An answer: ``status`` 0 where none came."""

    status: int
    body: bytes = b""


@dataclass
class _Parsed:
    parts: list[bytes] = field(default_factory=list)
    complete: bool = False
    keep: bool = False


class _Connection(asyncio.Protocol):
    """A connection that carries one request at a time: asyncio's and httptools's callbacks."""

    def __init__(self) -> None:
        self.open = False
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Reply] | None = None
        self._parsed = _Parsed()
        self._parser: httptools.HttpResponseParser | None = None

    async def exchange(self, request: bytes) -> Reply:
        """Send a request's bytes and wait for its answer; a status of 0 where the connection broke."""
        if self._transport is None or not self.open:
            return Reply(0)
        self._waiting = asyncio.get_running_loop().create_future()
        self._parsed, self._parser = _Parsed(), httptools.HttpResponseParser(self)
        self._transport.write(request)
        try:
            return await self._waiting
        finally:
            self._waiting = None

    def close(self) -> None:
        """Close it; an exchange under way gets no answer."""
        if self._transport is not None:
            self._transport.abort()
        self._lost()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self.open = cast(asyncio.Transport, transport), True

    def data_received(self, data: bytes) -> None:
        """Part of an answer; what is no HTTP ends the connection."""
        if self._parser is None:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()
            return
        if self._parsed.complete and self._parser is not None:
            status, self._parser = self._parser.get_status_code(), None
            self.open = self.open and self._parsed.keep
            self._answer(Reply(status, b"".join(self._parsed.parts)))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        self._lost()

    def on_body(self, body: bytes) -> None:
        self._parsed.parts.append(body)

    def on_message_complete(self) -> None:
        self._parsed.complete = True
        self._parsed.keep = bool(self._parser and self._parser.should_keep_alive())

    def _lost(self) -> None:
        self.open = False
        self._answer(Reply(0))

    def _answer(self, reply: Reply) -> None:
        if self._waiting is not None and not self._waiting.done():  # done where the query was cancelled
            self._waiting.set_result(reply)


class Pool:
    """Connections to one port of this machine, opened as they are needed and used again."""

    def __init__(self, port: int, most: int) -> None:
        self._port = port
        self._free: list[_Connection] = []
        self._room = asyncio.Semaphore(most)

    async def exchange(self, request: bytes) -> Reply:
        """Send a request over a free connection, or a new one; waits where as many as allowed are busy."""
        async with self._room:
            connection = await self._connection()
            if connection is None:
                return Reply(0)
            reply = await connection.exchange(request)
            if connection.open:
                self._free.append(connection)
            else:
                connection.close()
            return reply

    async def _connection(self) -> _Connection | None:
        while self._free:
            if (connection := self._free.pop()).open:
                return connection
        with contextlib.suppress(OSError):
            _, connection = await asyncio.get_running_loop().create_connection(_Connection, "127.0.0.1", self._port)
            return connection
        return None

    def close(self) -> None:
        """Close every free connection."""
        while self._free:
            self._free.pop().close()
