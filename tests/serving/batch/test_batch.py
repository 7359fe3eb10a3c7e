from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import numpy as np
import pytest

from emotions.predictor import Predictor
from emotions.runtime.batch_shape import Probabilities
from tests.conftest import Tone
from tests.serving.conftest import Service, StartService, error_of

WavBytes = Callable[..., bytes]
PATH = "/v1/predict/batch"


def files(*contents: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    return [("file", (f"{index}.wav", content)) for index, content in enumerate(contents)]


def post(service: Service, *contents: bytes, path: str = PATH, **options: Any) -> httpx.Response:
    return service.request("POST", path, files=files(*contents), **options)


def test_each_recording_gets_its_own_answer_in_order(
    service: Service, predictor: Predictor, tone: Tone, wav_bytes: WavBytes
) -> None:
    clips = [wav_bytes(tone(0.4 + 0.2 * index, 200 + 300 * index)) for index in range(5)]
    body = post(service, *clips).json()
    assert list(body) == ["results", "errors", "timing_ms", "usage", "bundle", "request_id"]
    assert body["usage"]["audio_sec"] == pytest.approx(sum(each["duration_sec"] for each in body["results"]), abs=0.01)
    assert body["usage"]["audio_sec"] == pytest.approx(sum(each["usage"]["audio_sec"] for each in body["results"]))
    assert [item["index"] for item in body["results"]] == [0, 1, 2, 3, 4]
    assert body["errors"] == 0
    for item, clip in zip(body["results"], clips, strict=True):
        expected = predictor.predict(clip)
        assert item["label"] == expected.label
        assert item["probabilities"]["emotion"] == pytest.approx(expected.probabilities["emotion"], abs=1e-5)
        assert item["duration_sec"] == pytest.approx(expected.duration_sec)
        assert set(item["timing_ms"]) == {"decode", "queue", "inference"}


def test_a_bad_recording_fails_alone(start: StartService, clip: bytes, tone: Tone, wav_bytes: WavBytes) -> None:
    silent = wav_bytes(np.zeros(8_000, np.float32))
    service = start(max_bytes=len(clip), max_seconds=1.3)
    body = post(service, clip, b"text", silent, b"", clip + b"x", wav_bytes(tone(1.4), subtype="PCM_16"), clip).json()
    errors = [(item["error"]["status"], item["error"]["code"]) for item in body["results"] if "error" in item]
    assert errors == [
        (415, "not_audio"),
        (422, "silent"),
        (400, "bad_request"),
        (413, "too_large"),
        (413, "too_long"),
    ]
    assert body["errors"] == 5
    assert body["results"][0]["label"] == body["results"][6]["label"]


def test_windows_come_on_request(service: Service, clip: bytes) -> None:
    (with_windows,) = post(service, clip, path=f"{PATH}?windows=1").json()["results"]
    assert [(part["start"], part["end"]) for part in with_windows["windows"]] == [(0, 0.5), (0.5, 1.0), (0.7, 1.2)]
    assert "windows" not in post(service, clip).json()["results"][0]


def test_items_and_bytes_are_limited(start: StartService, clip: bytes) -> None:
    service = start(max_items=2, max_items_bytes=4 * len(clip))
    assert post(service, clip, clip).status_code == 200
    assert error_of(post(service, clip, clip, clip)) == (413, "too_many_items")
    assert error_of(post(service, clip + clip, clip + clip)) == (413, "too_large")


def test_a_batch_that_grows_too_large_is_cut_off_while_it_streams(start: StartService) -> None:
    service = start(max_items_bytes=100_000)
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'--q\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        while True:
            sent += 10_000
            yield bytes(10_000)

    headers = {"content-type": "multipart/form-data; boundary=q"}
    assert error_of(service.post(endless(), PATH, headers=headers)) == (413, "too_large")
    assert sent <= 8 * 100_000 + 20_000


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"content": b"x"}, "a batch is multipart"),
        ({"files": {"other": ("a.wav", b"x")}}, "'file' is missing"),
        ({"files": [("file", (None, b"x")), ("file", ("a.wav", b"x"))]}, "is text"),
        ({"content": b"junk", "headers": {"content-type": "multipart/form-data; boundary=q"}}, "malformed"),
    ],
)
def test_malformed_batches_are_refused(service: Service, options: Any, reason: str) -> None:
    response = service.request("POST", PATH, **options)
    assert error_of(response) == (400, "bad_request")
    assert reason in response.json()["error"]["message"]


def test_a_failing_model_is_an_error_of_each_item_and_tells_nothing(start: StartService, clip: bytes) -> None:
    def broken(*_: Any) -> Probabilities:
        raise ValueError("secret detail")

    response = post(start(broken), clip, b"text")
    assert [item["error"]["code"] for item in response.json()["results"]] == ["internal", "not_audio"]
    assert "secret" not in response.text


def test_a_batch_whose_every_item_is_shed_is_to_be_sent_again(
    start: StartService, predictor: Predictor, clip: bytes
) -> None:
    entered, opened = threading.Event(), threading.Event()

    def gate(waveform: Any, length: Any) -> Probabilities:
        entered.set()
        assert opened.wait(20)
        return predictor.session.run(waveform, length)

    service = start(gate, max_queue_sec=1, max_batch=3)

    async def scene() -> httpx.Response:
        async with service.client() as client:
            held = [asyncio.create_task(client.post("/v1/predict", content=clip))]
            assert await asyncio.to_thread(entered.wait, 20)
            held.append(asyncio.create_task(client.post("/v1/predict", content=clip)))
            async with asyncio.timeout(20):
                while service.engine._batcher.waiting_sec == 0:
                    await asyncio.sleep(0.01)
            refused = await client.post(PATH, files=files(clip, clip))
            opened.set()
            await asyncio.gather(*held)
            return refused

    response = asyncio.run(scene())
    assert error_of(response) == (503, "overloaded")
    assert "retry-after" in response.headers


def test_before_the_model_is_loaded_it_is_not_ready(service: Service, clip: bytes) -> None:
    service.worker.engine = None
    assert error_of(post(service, clip)) == (503, "not_ready")
