"""The ``receive`` of a request that runs the model: while its body arrives, and once it is there."""

from __future__ import annotations

import asyncio
from ipaddress import IPv6Address, ip_address

from starlette.types import Message, Receive, Scope

from serving.http.errors import RequestError
from serving.telemetry.requests import RequestContext
from serving.worker.arrivals import Arrival
from serving.worker.engine import Engine

_KEY = "emotions.arriving"
_IPV6_NETWORK_BITS = 64
"""An IPv6 client has a network of its own to choose addresses from."""


class ArrivingBody:
    """Reads a request's body within its limits; once it is there the request is in flight, until ``close``.

    Args:
        scope: ASGI scope of the request, where ``held`` finds this.
        receive: gives the body's parts.
        engine: has the places, and answers the request.
        client: whose request it is.
    """

    def __init__(self, scope: Scope, receive: Receive, engine: Engine, client: str) -> None:
        engine.check_load(client)
        scope[_KEY] = self
        self._receive, self.engine, self._client = receive, engine, client
        self._uses = True
        engine.users += 1
        self._arrival: Arrival | None = None
        self._is_complete = self._in_flight = False
        self._held = 0

    async def __call__(self) -> Message:
        """The next part of the body, or the client's leaving.

        Raises:
            RequestError: 408, the body came too slowly, or gave way to others.
            Overloaded: there is no place for it.
        """
        if self._is_complete:
            return await self._receive()
        arrivals = self.engine.arrivals
        if self._arrival is None:
            self._arrival = arrivals.begin(self._client)
            self.engine.count_load()
        arrival = self._arrival
        message = await self._within_time(arrival)
        if message["type"] == "http.request":
            arrivals.received(arrival, len(message.get("body", b"")))
            if message.get("more_body", False):
                return message
        self._is_complete = True
        arrivals.end(arrival)
        if message["type"] == "http.request":
            self.engine.admit(self._client)
            self._in_flight = True
            self.engine.count_load()
        return message

    async def _within_time(self, arrival: Arrival) -> Message:
        if arrival.is_over:
            raise _too_slow()
        try:
            async with asyncio.timeout_at(min(arrival.due, arrival.ends)) as arrival.waiting:
                return await self._receive()
        except TimeoutError as error:
            raise _too_slow() from error
        finally:
            arrival.waiting = None

    def hold(self, size: int) -> None:
        """Count bytes that are kept. Raises as ``Arrivals.hold``."""
        self.engine.arrivals.hold(self._client, self._held, size)
        self._held += size

    def check_room(self, size: int) -> None:
        """Refuse a body of a known size for which there is no room. Raises as ``Arrivals.hold``."""
        self.engine.arrivals.check_room(self._client, 0, size)

    def close(self) -> None:
        """Give back whatever the request has."""
        if self._arrival is not None:
            self.engine.arrivals.end(self._arrival)
        if self._in_flight:
            self.engine.release(self._client)
            self._in_flight = False
        if self._held:
            self.engine.arrivals.let_go(self._client, self._held)
            self._held = 0
        if self._uses:
            self.engine.users -= 1
            self._uses = False
        self.engine.count_load()


def arriving_body(scope: Scope) -> ArrivingBody | None:
    """The body of a request that runs a model; None for another request."""
    body: ArrivingBody | None = scope.get(_KEY)
    return body


def client_of(scope: Scope, context: RequestContext) -> str:
    """Whose request it is: the name of its API key, else its address, or the network of an IPv6 address.

    Args:
        scope: ASGI scope of the request.
        context: its context.
    """
    if context.key:
        return f"key {context.key}"
    address = str((scope.get("client") or ("",))[0])
    if ":" not in address:
        return address
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return f"network {int(parsed) >> (128 - _IPV6_NETWORK_BITS):x}"
    return address


def _too_slow() -> RequestError:
    message = "the body of the request comes too slowly; try again by a faster connection"
    return RequestError(408, "slow_body", message, close=True)
