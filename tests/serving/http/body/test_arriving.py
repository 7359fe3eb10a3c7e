"""Bodies that arrive: places of their own, a least speed, and fair shares."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.http.api_keys import add_key
from tests.serving.conftest import Service, StartService, error_of


async def drip(clip: bytes, every_sec: float, size: int = 1) -> AsyncIterator[bytes]:
    """A body that comes a little at a time, and never whole within a test."""
    for begin in range(0, len(clip), size):
        yield clip[begin : begin + size]
        await asyncio.sleep(every_sec)


class Connection:
    """One request over ASGI, whose body is sent part by part, as from an address."""

    def __init__(
        self, service: Service, address: str = "127.0.0.1", headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[dict[str, Any]] = []
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/predict",
            "raw_path": b"/v1/predict",
            "query_string": b"",
            "headers": [*headers],
            "client": (address, 1),
        }

        async def send(message: Any) -> None:
            self.sent.append(message)

        self.task = asyncio.ensure_future(service.app(scope, self._inbox.get, send))

    async def body(self, part: bytes, *, more: bool = True) -> None:
        await self._inbox.put({"type": "http.request", "body": part, "more_body": more})
        for _ in range(5):
            await asyncio.sleep(0)

    async def status(self) -> int:
        await asyncio.wait_for(self.task, 20)
        return int(self.sent[0]["status"])


def test_slow_senders_take_no_place_in_flight_and_give_way(start: StartService, clip: bytes) -> None:
    service = start(max_in_flight=4, max_receiving=8)

    async def scene() -> tuple[list[int], list[int]]:
        slow = [Connection(service) for _ in range(30)]
        for connection in slow:
            await connection.body(clip[:1])
        await asyncio.sleep(0.05)
        good = []
        for _ in range(20):
            connection = Connection(service)
            await connection.body(clip[:100])
            await connection.body(clip[100:], more=False)
            good.append(await connection.status())
        ended = [connection for connection in slow if connection.task.done()]
        statuses = [await connection.status() for connection in ended]
        for connection in slow:
            connection.task.cancel()
        return good, statuses

    good, ended = asyncio.run(scene())
    assert good == [200] * 20
    assert len(ended) >= 22
    assert set(ended) == {408}
    assert service.metric("emotions_rejects_total", reason="slow_body") == len(ended)


def test_a_body_below_the_least_speed_ends_after_its_grace(start: StartService, clip: bytes) -> None:
    service = start(body_grace_sec=0.3, min_body_rate=1000)

    async def scene() -> tuple[httpx.Response, float]:
        async with service.client() as client:
            started = time.monotonic()
            response = await client.post("/v1/predict", content=drip(clip, 0.02))
            return response, time.monotonic() - started

    response, seconds = asyncio.run(scene())
    assert error_of(response) == (408, "slow_body")
    assert response.headers["connection"] == "close"
    assert 0.25 < seconds < 5


def test_much_at_first_earns_no_more_than_the_grace(start: StartService, clip: bytes) -> None:
    service = start(body_grace_sec=0.3, min_body_rate=1)

    async def scene() -> tuple[int, float]:
        connection, started = Connection(service), time.monotonic()
        await connection.body(bytes(50_000))
        return await connection.status(), time.monotonic() - started

    status, seconds = asyncio.run(scene())
    assert status == 408
    assert 0.25 < seconds < 5


def test_a_body_that_keeps_its_speed_still_has_a_time_limit(start: StartService, clip: bytes) -> None:
    service = start(body_sec=0.4, min_body_rate=1)

    async def scene() -> httpx.Response:
        async with service.client() as client:
            return await client.post("/v1/predict", content=drip(clip, 0.01))

    assert error_of(asyncio.run(scene())) == (408, "slow_body")


def test_a_slow_but_steady_body_is_read(start: StartService, clip: bytes) -> None:
    service = start(body_grace_sec=1, min_body_rate=10_000)

    async def scene() -> httpx.Response:
        async with service.client() as client:
            return await client.post("/v1/predict", content=drip(clip, 0.05, len(clip) // 40))

    assert asyncio.run(scene()).status_code == 200


def test_where_places_are_scarce_the_slowest_gives_way(start: StartService, clip: bytes) -> None:
    service = start(max_receiving=2)

    async def scene() -> list[int]:
        fast, slow = Connection(service), Connection(service)
        await slow.body(clip[:10])
        await asyncio.sleep(0.2)
        await fast.body(clip[:40_000])
        third = Connection(service)
        await third.body(clip[:40_000])
        statuses = [await slow.status()]
        for connection in (fast, third):
            await connection.body(clip[40_000:], more=False)
            statuses.append(await connection.status())
        return statuses

    assert asyncio.run(scene()) == [408, 200, 200]


@pytest.mark.parametrize("by_key", [False, True])
def test_one_client_leaves_half_to_others(start: StartService, tmp_path: Path, clip: bytes, *, by_key: bool) -> None:
    keys = tmp_path / "keys.txt"
    tokens = [add_key(keys, name) for name in ("one", "two")]
    service = start(max_receiving=4, **({"api_keys_file": keys} if by_key else {}))

    def connect(client: int) -> Connection:
        header = (b"x-api-key", tokens[client].encode())
        return Connection(service, "10.0.0.9" if by_key else f"10.0.0.{client}", [header])

    async def scene() -> tuple[list[bool], int]:
        few = [connect(1) for _ in range(2)]
        for connection in few:
            await connection.body(clip[:1])
        many = [connect(0) for _ in range(20)]
        for connection in many:
            await connection.body(clip[:1])
        await asyncio.sleep(0.05)
        alive = [not connection.task.done() for connection in few]
        kept = sum(not connection.task.done() for connection in many)
        for connection in (*few, *many):
            connection.task.cancel()
        return alive, kept

    alive, kept = asyncio.run(scene())
    assert alive == [True, True]
    assert kept == 2


def test_addresses_of_one_ipv6_network_are_one_client(start: StartService, clip: bytes) -> None:
    service = start(max_receiving=4)

    async def scene() -> list[bool]:
        few = [Connection(service, "2001:db8:0:2::1") for _ in range(2)]
        many = [Connection(service, f"2001:db8:0:1::{index:x}") for index in range(20)]
        for connection in (*few, *many):
            await connection.body(clip[:1])
        await asyncio.sleep(0.05)
        alive = [not connection.task.done() for connection in few]
        for connection in (*few, *many):
            connection.task.cancel()
        return alive

    assert asyncio.run(scene()) == [True, True]


def test_large_bodies_leave_room_for_small_ones(start: StartService, clip: bytes) -> None:
    service = start(max_held_bytes=8 << 20, max_bytes=4 << 20)

    async def scene() -> tuple[list[int], list[int], int]:
        large = [Connection(service, f"10.0.0.{index}") for index in range(12)]
        for connection in large:
            for _ in range(8):
                await connection.body(bytes(256 << 10))
        await asyncio.sleep(0.05)
        refused = [await connection.status() for connection in large if connection.task.done()]
        held = service.engine.arrivals._bytes.taken
        good = []
        for index in range(5):
            connection = Connection(service, f"10.0.1.{index}")
            await connection.body(clip, more=False)
            good.append(await connection.status())
        for connection in large:
            connection.task.cancel()
        await asyncio.gather(*(connection.task for connection in large), return_exceptions=True)
        return refused, good, held

    refused, good, held = asyncio.run(scene())
    assert refused
    assert set(refused) == {503}
    assert held <= 6 << 20
    assert good == [200] * 5
    assert service.engine.arrivals._bytes.taken == 0
    assert service.engine.arrivals.count == 0


def test_a_declared_length_without_room_is_refused_before_it_comes(start: StartService) -> None:
    service = start(max_held_bytes=4 << 20)

    async def scene() -> int:
        return await Connection(service, headers=[(b"content-length", str(3 << 20).encode())]).status()

    assert asyncio.run(scene()) == 503


def test_what_a_body_holds_counts_decompressed(start: StartService) -> None:
    import gzip

    service = start(max_held_bytes=1 << 20)
    response = service.post(gzip.compress(bytes(3 << 20)), headers={"content-encoding": "gzip"})
    assert error_of(response) == (503, "overloaded")


def test_the_largest_requests_fit_by_default(start: StartService, clip: bytes) -> None:
    service = start()
    files = [("file", ("a.wav", clip + bytes((2 << 20) - len(clip) - 1000))) for _ in range(63)]
    response = service.request("POST", "/v1/predict/batch", files=files)
    assert response.status_code == 200, response.text
    assert response.json()["errors"] == 0
