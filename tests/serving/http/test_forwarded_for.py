"""Whose request it is: a proxy that is trusted names its clients, and nobody else does."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from serving.http.body.arriving import client_of
from serving.telemetry.requests import RequestContext, RouteInfo


async def _client(trusted: str, peer: str) -> str:
    found = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # of ASGI
        found.append(client_of(scope, RequestContext("id", "POST", RouteInfo("/v1/predict"))))

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(_: Message) -> None:
        return

    scope = {"type": "http", "client": (peer, 1), "headers": [(b"x-forwarded-for", b"203.0.113.7")], "scheme": "http"}
    await ProxyHeadersMiddleware(app, trusted)(scope, receive, send)
    return found[0]


@pytest.mark.parametrize(
    ("trusted", "peer", "expected"),
    [
        ("", "127.0.0.1", "127.0.0.1"),
        ("", "10.0.0.1", "10.0.0.1"),
        ("10.0.0.1,10.1.0.0/16", "10.0.0.1", "203.0.113.7"),
        ("10.0.0.1,10.1.0.0/16", "10.1.2.3", "203.0.113.7"),
        ("10.0.0.1,10.1.0.0/16", "10.2.0.1", "10.2.0.1"),
        ("*", "10.2.0.1", "203.0.113.7"),
    ],
)
def test_only_a_trusted_proxy_names_its_client(trusted: str, peer: str, expected: str) -> None:
    assert asyncio.run(_client(trusted, peer)) == expected
