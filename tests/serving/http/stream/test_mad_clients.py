"""Clients that vanish, send nonsense, or read nothing leave nothing behind."""

from __future__ import annotations

import logging
import socket
import struct
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection

from serving.http.stream import outbox
from serving.worker import websocket_protocol
from tests.serving.http.stream.conftest import (
    CLOSE,
    Server,
    ServeStreams,
    Talk,
    converse,
    eventually,
    read_all,
    s16,
    update,
)

Mad = Callable[[ClientConnection, np.random.Generator], None]
NOISE = s16(np.random.default_rng(0).uniform(-0.5, 0.5, 16_000).astype(np.float32))


def vanishes(connection: ClientConnection, random: np.random.Generator) -> None:
    connection.send(update(vad=bool(random.integers(2))))
    for _ in range(random.integers(4)):
        connection.send(NOISE)
    time.sleep(random.uniform(0, 0.05))
    reset(connection)


def reset(connection: ClientConnection) -> None:
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.socket.close()


def sends_nonsense_bytes(connection: ClientConnection, random: np.random.Generator) -> None:
    connection.socket.sendall(random.bytes(int(random.integers(1, 5_000))))
    time.sleep(random.uniform(0, 0.02))


def sends_nonsense_messages(connection: ClientConnection, random: np.random.Generator) -> None:
    written = [
        update(vad=False),
        update(rate=1),
        CLOSE,
        '{"type": "flush"}',
        '{"type": 1}',
        "\0",
        NOISE[:7],
        b"",
        NOISE,
    ]
    for number in random.integers(len(written), size=random.integers(1, 12)):
        connection.send(written[number])


def half_closes(connection: ClientConnection, random: np.random.Generator) -> None:
    connection.send(update())
    connection.send(NOISE)
    connection.socket.shutdown(socket.SHUT_WR)


def is_cut_in_a_frame(connection: ClientConnection, random: np.random.Generator) -> None:
    connection.send(update(vad=False))
    connection.socket.sendall(b"\x82\xfe\xff\xff\0\0\0\0" + NOISE[:100])
    reset(connection)


def says_nothing(connection: ClientConnection, random: np.random.Generator) -> None:
    time.sleep(random.uniform(0, 0.05))


MAD: list[Mad] = [
    vanishes,
    sends_nonsense_bytes,
    sends_nonsense_messages,
    half_closes,
    is_cut_in_a_frame,
    says_nothing,
]


def _one(server: Server, seed: int) -> None:
    random = np.random.default_rng(seed)
    with suppress(OSError, WebSocketException), server.connect(close_timeout=0.2) as connection:
        MAD[seed % len(MAD)](connection, random)


def _handles() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


def _fuzz(server: Server, sessions: int) -> None:
    converse(server, [update(vad=False), NOISE, CLOSE])
    eventually(lambda: not server.open_streams())
    eventually(lambda: server.tasks() <= 2)
    tasks, handles = server.tasks(), _handles()
    with ThreadPoolExecutor(10) as pool:
        [*pool.map(lambda seed: _one(server, seed), range(sessions))]
    eventually(lambda: not server.open_streams(), 20)
    eventually(lambda: server.tasks() <= tasks, 20)
    eventually(lambda: _handles() <= handles, 20)
    eventually(lambda: server.service.engine._batcher.waiting_sec == 0)
    eventually(lambda: not server.service.engine._batcher._jobs)
    talk = converse(server, [update(vad=False), NOISE, CLOSE])
    assert (talk.code, len(talk.closed["segments"])) == (1000, 2)


def test_mad_clients_leave_nothing(serve: ServeStreams, caplog: pytest.LogCaptureFixture) -> None:
    _fuzz(serve(stream_idle_sec=1), 96)
    faults = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert not [record for record in faults if record.name != "websockets.client"]  # that is the mad client's own


@pytest.mark.slow
def test_many_mad_clients_leave_nothing(serve: ServeStreams) -> None:
    _fuzz(serve(stream_idle_sec=1), 1_000)


def test_a_client_that_reads_nothing(serve: ServeStreams, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its measurements fill the buffers, its audio is read no more, and in the end it is cut off."""
    monkeypatch.setattr(outbox, "_WRITE_SEC", 1.0)
    monkeypatch.setattr(websocket_protocol, "_WRITE_SEC", 1.0)
    server = serve(send_buffer=4096)
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect(server.address)
    with server.connect(sock=raw, close_timeout=0.2, max_queue=1) as connection:
        connection.send(update(vad=False, interval_ms=100, channels=8))
        with suppress(WebSocketException):
            for _ in range(10_000):
                connection.send(NOISE)
        eventually(lambda: not server.open_streams(), 20)
    ended = "emotions_stream_sessions_total"
    eventually(lambda: server.service.metric(ended, reason="client_gone") == 1)


def test_pings_are_answered_while_a_stream_goes_on(serve: ServeStreams) -> None:
    server, talk = serve(), Talk()
    with server.connect() as connection:
        connection.send(update(vad=False))
        assert connection.ping().wait(5)
        connection.send(CLOSE)
        read_all(connection, talk)
    assert talk.code == 1000
