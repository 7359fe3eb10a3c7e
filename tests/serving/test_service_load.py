"""The service under pressure: limits, timeouts, clients that leave, many requests at once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from emotions.predictor import Predictor
from emotions.runtime.batch_shape import Probabilities
from tests.conftest import Tone
from tests.serving.conftest import StartService, error_of


class Gate:
    """A model that waits until it is let go, or fails."""

    def __init__(self, predictor: Predictor) -> None:
        self.model = predictor.session.run
        self.entered = threading.Event()
        self.open = threading.Event()
        self.batches: list[int] = []

    def __call__(self, waveform: Any, length: Any) -> Probabilities:
        self.entered.set()
        assert self.open.wait(20)
        self.batches.append(len(length))
        return self.model(waveform, length)


@pytest.fixture
def gate(predictor: Predictor) -> Iterator[Gate]:
    made = Gate(predictor)
    yield made
    made.open.set()


async def _entered(gate: Gate) -> None:
    assert await asyncio.to_thread(gate.entered.wait, 20)


def test_one_request_too_many_is_told_to_come_back(start: StartService, gate: Gate, clip: bytes) -> None:
    service = start(gate, max_in_flight=1)

    async def scene() -> tuple[httpx.Response, httpx.Response, httpx.Response]:
        async with service.client() as client:
            first = asyncio.create_task(client.post("/v1/predict", content=clip))
            await _entered(gate)
            second = await client.post("/v1/predict", content=clip)
            gate.open.set()
            return await first, second, await client.post("/v1/predict", content=clip)

    first, second, third = asyncio.run(scene())
    assert error_of(second) == (429, "too_many_requests")
    assert int(second.headers["retry-after"]) >= 1
    assert (first.status_code, third.status_code) == (200, 200)


def test_a_full_service_refuses_before_it_looks_further_and_answers_what_asks_no_model(
    start: StartService, gate: Gate, clip: bytes
) -> None:
    service = start(gate, max_in_flight=1)
    posts = ["/v1/predict", "/v1/predict/batch", "/predict", "/v2/models/tiny/infer"]

    async def scene() -> tuple[list[httpx.Response], list[int]]:
        async with service.client() as client:
            first = asyncio.create_task(client.post("/v1/predict", content=clip))
            await _entered(gate)
            refused = [await client.post(path, content=clip) for path in posts]
            others = [(await client.get(path)).status_code for path in ("/v1/predict", "/v1/model", "/v2/health/live")]
            gate.open.set()
            assert (await first).status_code == 200
            return refused, others

    refused, others = asyncio.run(scene())
    assert [answer.status_code for answer in refused] == [429] * len(posts)
    assert all("retry-after" in answer.headers for answer in refused)
    assert others == [405, 200, 200]
    assert service.metric("emotions_rejects_total", reason="too_many_requests") == len(posts)


def test_a_request_is_in_flight_until_its_response_starts(
    start: StartService, predictor: Predictor, clip: bytes
) -> None:
    in_flight: list[float] = []

    def run(waveform: Any, length: Any) -> Probabilities:
        in_flight.append(service.metric("emotions_in_flight"))
        return predictor.session.run(waveform, length)

    service = start(run, max_batch=64)
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/predict",
        "raw_path": b"/v1/predict",
        "query_string": b"",
        "headers": [],
    }

    async def scene() -> None:
        inbox: asyncio.Queue[Any] = asyncio.Queue()
        await inbox.put({"type": "http.request", "body": clip, "more_body": False})

        async def send(_: Any) -> None:
            in_flight.append(service.metric("emotions_in_flight"))

        await service.app(scope, inbox.get, send)

    asyncio.run(scene())
    assert in_flight == [1, 0, 0]


def test_a_full_queue_is_overload(start: StartService, gate: Gate, clip: bytes) -> None:
    service = start(gate, max_queue_sec=2)

    async def scene() -> list[httpx.Response]:
        async with service.client() as client:
            first = asyncio.create_task(client.post("/v1/predict", content=clip))
            await _entered(gate)
            others = [asyncio.create_task(client.post("/v1/predict", content=clip)) for _ in range(3)]
            done, _ = await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)
            gate.open.set()
            assert all(task.result().status_code == 503 for task in done)
            return list(await asyncio.gather(first, *others))

    answers = asyncio.run(scene())
    refused = [answer for answer in answers if answer.status_code == 503]
    assert {error_of(answer) for answer in refused} == {(503, "overloaded")}
    assert all("retry-after" in answer.headers for answer in refused)
    assert answers[0].status_code == 200


def test_a_request_that_takes_too_long_ends_in_504_and_leaves_the_queue(
    start: StartService, gate: Gate, clip: bytes
) -> None:
    service = start(gate, timeout_sec=2)

    async def scene() -> list[httpx.Response]:
        async with service.client() as client:
            first = asyncio.create_task(client.post("/v1/predict", content=clip))
            await _entered(gate)
            return [await client.post("/v1/predict", content=clip), await first]

    answers = asyncio.run(scene())
    gate.open.set()
    service.engine.close()
    assert [error_of(answer) for answer in answers] == [(504, "timeout")] * 2
    assert gate.batches == [3]


def test_at_the_end_of_a_worker_requests_in_flight_get_the_time_that_is_left(
    start: StartService, gate: Gate, clip: bytes
) -> None:
    service = start(gate, drain_sec=0.3, timeout_sec=20)

    async def scene() -> list[httpx.Response]:
        async with service.client() as client:
            first = asyncio.create_task(client.post("/v1/predict", content=clip))
            await _entered(gate)
            assert service.worker.ready
            service.worker.drain.begin()
            assert not service.worker.ready
            second = await client.post("/v1/predict", content=clip)
            return [await first, second]

    started = time.monotonic()
    answers = asyncio.run(scene())
    assert [error_of(answer) for answer in answers] == [(503, "shutting_down")] * 2
    assert all("retry-after" in answer.headers for answer in answers)
    assert 0.2 < time.monotonic() - started < 10


def test_what_would_come_too_late_is_refused_at_once(
    start: StartService, predictor: Predictor, tone: Tone, wav_bytes: Callable[..., bytes]
) -> None:
    def slow(waveform: Any, length: Any) -> Probabilities:
        time.sleep(0.4)  # much longer than a busy machine takes for all that is not the model
        return predictor.session.run(waveform, length)

    window = wav_bytes(tone(0.5))
    service = start(slow, timeout_sec=3.2, max_batch=1)

    async def timed(client: httpx.AsyncClient) -> tuple[httpx.Response, float]:
        started = time.monotonic()
        return await client.post("/v1/predict", content=window), time.monotonic() - started

    async def scene() -> list[tuple[httpx.Response, float]]:
        async with service.client() as client:
            assert (await client.post("/v1/predict", content=window)).status_code == 200
            return list(await asyncio.gather(*(timed(client) for _ in range(30))))

    answers = asyncio.run(scene())
    refused = [(answer, seconds) for answer, seconds in answers if answer.status_code == 503]
    assert {error_of(answer) for answer, _ in refused} == {(503, "overloaded")}
    assert len(refused) >= 15
    assert max(seconds for _, seconds in refused) < 2
    assert sum(answer.status_code == 200 for answer, _ in answers) >= 3


def test_a_client_that_leaves_takes_its_recording_out_of_the_queue(
    start: StartService, gate: Gate, clip: bytes
) -> None:
    service = start(gate)

    async def call(inbox: asyncio.Queue[Any], sent: list[Any]) -> None:
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/predict",
            "raw_path": b"/v1/predict",
            "query_string": b"",
            "headers": [],
        }
        await inbox.put({"type": "http.request", "body": clip, "more_body": False})

        async def send(message: Any) -> None:
            sent.append(message)

        await service.app(scope, inbox.get, send)

    async def scene() -> list[Any]:
        inboxes = [asyncio.Queue[Any](), asyncio.Queue[Any]()]
        sent: list[Any] = []
        first = asyncio.create_task(call(inboxes[0], []))
        await _entered(gate)
        second = asyncio.create_task(call(inboxes[1], sent))
        while service.engine._batcher.waiting_sec == 0:
            await asyncio.sleep(0.01)
        await inboxes[1].put({"type": "http.disconnect"})
        await asyncio.wait_for(second, 10)
        gate.open.set()
        await asyncio.wait_for(first, 10)
        return sent

    sent = asyncio.run(scene())
    service.engine.close()
    assert sent[0]["status"] == 499
    assert gate.batches == [3]


def test_many_requests_at_once_share_batches_and_none_is_swapped(
    start: StartService, predictor: Predictor, tone: Tone, wav_bytes: Callable[..., bytes]
) -> None:
    clips = [wav_bytes(tone(0.3 + 0.1 * index, 150 + 90 * index)) for index in range(12)]
    service = start(max_batch=4, decode_threads=2)

    async def scene() -> list[httpx.Response]:
        async with service.client() as client:
            posts = [client.post("/v1/predict", content=clip) for clip in clips * 3]
            return list(await asyncio.gather(*posts))

    expected = [predictor.predict(clip).probabilities["emotion"] for clip in clips] * 3
    for answer, scores in zip(asyncio.run(scene()), expected, strict=True):
        assert answer.json()["probabilities"]["emotion"] == pytest.approx(scores, abs=1e-5)
