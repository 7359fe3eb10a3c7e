"""A real server of the routes, and a client of ``/v1/stream``."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import uvicorn
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from emotions.audio.windows import FloatArray
from serving.worker.http_protocol import bounded_protocol
from serving.worker.websocket_protocol import bounded_websocket
from tests.serving.conftest import Service, StartService

Json = dict[str, Any]


@dataclass
class Server:
    service: Service
    address: tuple[str, int]
    loops: set[asyncio.AbstractEventLoop]

    @property
    def url(self) -> str:
        return f"ws://{self.address[0]}:{self.address[1]}/v1/stream"

    def begin_shutdown(self) -> None:
        """As SIGTERM does."""
        (loop,) = self.loops
        loop.call_soon_threadsafe(self.service.worker.drain.begin)

    def tasks(self) -> int:
        """Tasks of the server's event loop."""
        (loop,) = self.loops

        async def count() -> int:
            return len(asyncio.all_tasks()) - 1  # without this one

        return asyncio.run_coroutine_threadsafe(count(), loop).result(10)

    def connect(self, **options: Any) -> ClientConnection:
        options = {"max_size": None, "proxy": None, **options}
        return connect(self.url, **options)

    def open_streams(self) -> float:
        return self.service.metric("emotions_streams")


ServeStreams = Callable[..., Server]


@pytest.fixture
def serve(start: StartService) -> Iterator[ServeStreams]:
    """``serve(run=None, **settings)``: a service behind a real uvicorn."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def make(**settings: Any) -> Server:
        service = start(**settings)
        listening = socket.create_server(("127.0.0.1", 0), backlog=512)
        used = service.engine.settings
        loops: set[asyncio.AbstractEventLoop] = set()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            loops.add(asyncio.get_running_loop())
            await service.app(scope, receive, send)

        config = uvicorn.Config(
            app,
            http=bounded_protocol(used),
            ws=bounded_websocket(used),
            log_config=None,
            lifespan="off",
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        running.append((server, thread))
        return Server(service, listening.getsockname(), loops)

    yield make
    for server, thread in running:
        server.should_exit = server.force_exit = True
        thread.join(10)


@dataclass
class Talk:
    """What a client was told."""

    messages: list[Json] = field(default_factory=list)
    code: int | None = None

    def of(self, kind: str) -> list[Json]:
        return [message for message in self.messages if message["type"] == kind]

    @property
    def errors(self) -> list[str]:
        return [message["code"] for message in self.of("error")]

    @property
    def closed(self) -> Json:
        (closed,) = self.of("session.closed")
        return closed


def update(**session: Any) -> str:
    return json.dumps({"type": "session.update", "session": session})


CLOSE = json.dumps({"type": "session.close"})


def converse(server: Server, messages: Iterable[str | bytes], **options: Any) -> Talk:
    """Send messages, and read until the server closes."""
    talk = Talk()
    with server.connect(**options) as socket:
        reader = threading.Thread(target=read_all, args=(socket, talk))
        reader.start()
        with suppress(ConnectionClosed):
            for message in messages:
                socket.send(message)
        reader.join(30)
        assert not reader.is_alive(), talk
    return talk


def read_all(socket: ClientConnection, talk: Talk) -> None:
    try:
        while True:
            talk.messages.append(json.loads(socket.recv()))
    except ConnectionClosed as closed:
        talk.code = closed.rcvd.code if closed.rcvd else None


def s16(samples: FloatArray) -> bytes:
    return (np.clip(samples, -1, 1) * 32_767).astype("<i2").tobytes()


def cut(data: bytes, random: np.random.Generator, most: int) -> list[bytes]:
    """The bytes in random parts."""
    parts, at = [], 0
    while at < len(data):
        size = int(random.integers(1, most))
        parts.append(data[at : at + size])
        at += size
    return parts


def eventually(true: Callable[[], bool], sec: float = 10.0) -> None:
    """Wait until something is true."""
    ends = time.monotonic() + sec
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.02)
