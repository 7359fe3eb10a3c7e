"""Connections of a real uvicorn: what a client sends before and behind its requests is bounded."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn

from serving.settings import Settings
from serving.worker.http_protocol import Direct, bounded_protocol

Connect = Callable[..., socket.socket]
Start = Callable[..., Connect]
GET = b"GET /a HTTP/1.1\r\nHost: a\r\n"


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers by the length of the body; ``/now`` without reading it, ``/late`` after a while."""
    size, more = 0, scope["path"] not in {"/now", "/late"}
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    if scope["path"] == "/late":
        await asyncio.sleep(1)
    content = b"." * 30_000_000 if scope["path"] == "/large" else str(size).encode()
    headers = [(b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


@pytest.fixture
def start() -> Iterator[Start]:
    """``start(**settings)``: a server; what it returns opens a connection and sends ``data``."""
    servers: list[tuple[uvicorn.Server, threading.Thread]] = []
    held: list[socket.socket] = []

    def make(direct: Direct | None = None, **settings: Any) -> Connect:
        listening = socket.create_server(("127.0.0.1", 0), backlog=512)
        config = uvicorn.Config(
            app,
            http=bounded_protocol(Settings(**settings), direct),
            log_config=None,
            lifespan="off",
            timeout_keep_alive=5,
            forwarded_allow_ips="127.0.0.1",
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        servers.append((server, thread))

        def connect(data: bytes = b"") -> socket.socket:
            connection = socket.create_connection(listening.getsockname(), timeout=10)
            held.append(connection)
            with contextlib.suppress(OSError):
                connection.sendall(data)
            return connection

        return connect

    yield make
    for connection in held:
        connection.close()
    for server, thread in servers:
        server.should_exit = True
        thread.join(10)


def answer(connection: socket.socket, quiet_sec: float = 1) -> bytes:
    """All that comes until the connection is closed, or for a while once it has begun."""
    connection.settimeout(20)
    received = b""
    with contextlib.suppress(OSError):
        while part := connection.recv(65536):
            received += part
            connection.settimeout(quiet_sec)
    return received


def is_closed(connection: socket.socket, within_sec: float) -> bool:
    connection.settimeout(within_sec)
    try:
        while connection.recv(65536):
            continue
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


def test_requests_are_answered_as_before(start: Start) -> None:
    connect = start()
    assert answer(connect(GET + b"\r\n")).endswith(b"\r\n\r\n0")
    assert answer(connect(b"POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello")).endswith(b"5")
    chunked = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 4000 + b"0\r\nA: b\r\n\r\n"
    assert answer(connect(chunked)).endswith(b"4000")
    assert answer(connect(GET + b"\r\n" + GET + b"\r\n")).count(b"200 OK") == 2
    many = b"".join(b"X-%d: %s\r\n" % (index, b"y" * 250) for index in range(98))
    assert answer(connect(GET + many + b"\r\n")).startswith(b"HTTP/1.1 200")
    late = connect(b"POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    assert late.recv(100).startswith(b"HTTP/1.1 100")
    late.sendall(b"hello")
    assert answer(late).endswith(b"5")
    assert answer(connect(b"nonsense\r\n\r\n")).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (GET + b"A: b\r\n" * 101 + b"\r\n", 431),
        (GET + b"A: " + b"b" * 33_000 + b"\r\n\r\n", 431),
        (GET + b"A" * 33_000 + b": b\r\n\r\n", 431),
        (GET + b"A: " + b"b" * 10_000_000, 431),
        (GET + b"A" * 10_000_000, 431),
        (GET + b"A: b\r\n" * 2_000_000, 431),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET /" + b"a" * 10_000_000, 414),
        (b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"A: b\r\n" * 1_000_000, 0),
        (b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: " + b"b" * 10_000_000, 0),
        (b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"b" * 10_000_000, 0),
        (b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 1_000_000, 0),
        ((GET + b"\r\n") * 100_000, 0),
    ],
)
def test_what_never_ends_is_refused(start: Start, sent: bytes, status: int) -> None:
    """The response may be lost with what the client was still sending; a body under way has none."""
    connect = start()
    connection = connect(sent)
    received = answer(connection)
    assert is_closed(connection, 20)
    if status and len(sent) < 100_000:
        assert received.startswith(b"HTTP/1.1 %d" % status)
    assert answer(connect(GET + b"\r\n")).endswith(b"0")


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"GET", GET, b"POST /now HTTP/1.1\r\nContent-Length: 99\r\n\r\n"])
def test_headers_have_a_time_limit(start: Start, sent: bytes) -> None:
    connection = start(header_sec=1.5)(sent)
    assert not is_closed(connection, 0.2)
    ends = time.monotonic() + 20
    with contextlib.suppress(OSError):
        while time.monotonic() < ends:
            connection.sendall(b"\r\n" if len(sent) < 3 else b"x")
            time.sleep(0.05)
    assert time.monotonic() < ends
    assert is_closed(connection, 0.1)


def test_half_sent_headers_are_answered(start: Start) -> None:
    assert answer(start(header_sec=1)(GET)).startswith(b"HTTP/1.1 408")


def test_a_request_behind_another_has_the_time_from_its_turn(start: Start) -> None:
    received = answer(start(header_sec=0.5)(b"GET /late HTTP/1.1\r\n\r\nGET /b"), quiet_sec=10)
    assert received.startswith(b"HTTP/1.1 200")
    assert received.count(b"HTTP/1.1") == 2


def test_a_slow_response_is_not_a_slow_request(start: Start) -> None:
    assert answer(start(header_sec=0.5)(b"GET /late HTTP/1.1\r\nConnection: close\r\n\r\n")).endswith(b"0")


def test_a_body_that_was_not_asked_for_ends_the_connection(start: Start) -> None:
    connection = start()(b"POST /now HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    assert answer(connection).startswith(b"HTTP/1.1 200")
    assert is_closed(connection, 20)


def test_where_connections_are_scarce_the_longest_idle_gives_way(start: Start) -> None:
    connect = start(max_connections=4)
    idle = [connect(b"GET /") for _ in range(4)]
    time.sleep(0.2)
    for _ in range(8):
        connection = connect(GET + b"\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
    assert all(is_closed(connection, 20) for connection in idle)


def test_connections_that_are_answered_do_not_give_way(start: Start) -> None:
    connect = start(max_connections=2)
    begun = b"POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"
    late = [connect(begun) for _ in range(2)]
    assert all(connection.recv(100).startswith(b"HTTP/1.1 100") for connection in late)
    assert answer(connect(GET + b"\r\n")).startswith(b"HTTP/1.1 503")
    for connection in late:
        connection.sendall(b"hello")
        assert answer(connection).endswith(b"5")


def test_an_application_answers_its_paths_directly_and_knows_clients_behind_a_trusted_proxy(start: Start) -> None:
    async def tell_client(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": scope["client"][0].encode()})

    connect = start(Direct(tell_client, lambda path: path == "/ours"))
    ours = b"GET /ours HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n"
    assert b"203.0.113.7" in answer(connect(ours))
    assert answer(connect(GET + b"Connection: close\r\n\r\n")).endswith(b"0")  # by the server's own application
