"""WebSockets of a real uvicorn: how they begin, and that limits of requests are not theirs."""

from __future__ import annotations

import socket as sockets
import time

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from tests.serving.http.stream.conftest import CLOSE, ServeStreams, converse, serve, update

__all__ = ["serve"]  # a fixture


def test_a_stream_outlives_the_time_for_headers(serve: ServeStreams) -> None:
    server = serve(header_sec=1)
    with server.connect() as socket:
        socket.send(update(vad=False))
        time.sleep(2)
        assert socket.ping().wait(20)
    assert converse(server, [CLOSE]).code == 1000


def test_compression_is_not_agreed_to(serve: ServeStreams) -> None:
    with serve().connect(compression="deflate") as socket:
        assert socket.response is not None
        assert "sec-websocket-extensions" not in socket.response.headers


def test_headers_are_limited_before_a_socket_opens(serve: ServeStreams) -> None:
    server = serve(max_header_bytes=2000)
    with pytest.raises(InvalidStatus) as caught, server.connect(additional_headers={"X-Long": "a" * 3000}):
        pass
    assert caught.value.response.status_code == 431


def test_an_upgrade_behind_an_unanswered_request_is_refused(serve: ServeStreams) -> None:
    server = serve()
    upgrade = (
        b"GET /v1/stream HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    with sockets.create_connection(server.address, timeout=20) as connection:
        connection.sendall(b"GET /v1/model HTTP/1.1\r\nHost: a\r\n\r\n" + upgrade)
        received = b""
        while part := connection.recv(65536):
            received += part
    assert b"101 Switching" not in received
    assert httpx.get(f"http://127.0.0.1:{server.address[1]}/v1/model").status_code == 200
