"""The clients against the real routes, and against a network that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import emotions
from emotions.client.client import AsyncClient, Client
from emotions.errors import AudioError, ServiceError
from emotions.predictor import Predictor
from serving.http.api_keys import add_key
from tests.conftest import Tone
from tests.serving.conftest import Service, StartService

URL = "http://service"


def run(service: Service, use: Callable[[AsyncClient], Any], **options: Any) -> Any:
    async def scene() -> Any:
        async with AsyncClient(URL, transport=httpx.ASGITransport(service.app), **options) as client:
            return await use(client)

    return asyncio.run(scene())


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that a client made, none of which are waited for."""
    made: list[float] = []
    monkeypatch.setattr("emotions.client.client.time.sleep", made.append)
    return made


def answering(*answers: int | type[httpx.TransportError], **headers: str) -> tuple[Client, list[httpx.Request]]:
    """A client whose requests get these statuses or failures, one after the other."""
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        answer = answers[len(seen)]
        seen.append(request)
        if not isinstance(answer, int):
            raise answer("gone")
        body = {"name": "mine"} if answer == 200 else {"error": {"code": "some", "message": "words"}}
        return httpx.Response(answer, json=body, headers=headers)

    return Client(f"{URL}/", transport=httpx.MockTransport(handle), retries=len(answers) - 1), seen


def test_every_form_of_a_clip_is_answered_as_by_the_library(
    service: Service, predictor: Predictor, tone: Tone, clip: bytes, tmp_path: Path
) -> None:
    (tmp_path / "alice.wav").write_bytes(clip)
    waveform = tone(1.2)
    forms: list[Any] = [tmp_path / "alice.wav", str(tmp_path / "alice.wav"), clip, waveform, (waveform, 16_000)]
    forms += [(tone(1.2, 440, 44_100), 44_100)]
    for form in forms:
        answer = run(service, lambda client, form=form: client.predict(form, windows=True))
        expected = predictor.predict(form)
        assert answer.label == expected.label
        assert answer.probabilities["emotion"] == pytest.approx(expected.probabilities["emotion"], abs=1e-4)
        assert [part.start for part in answer.windows] == [part.start for part in expected.windows]
        assert answer.bundle == predictor.bundle.id
        assert answer.timing_ms["total"] > 0
        assert answer.usage["audio_sec"] == pytest.approx(answer.duration_sec, abs=1e-3)
    assert run(service, lambda client: client.predict(clip)).windows == ()


def test_a_batch_is_sent_in_parts_and_each_gets_its_own(service: Service, predictor: Predictor, tone: Tone) -> None:
    clips: list[Any] = [tone(0.4 + 0.1 * index, 200 + 200 * index) for index in range(5)]
    clips.insert(2, b"text")
    results = run(service, lambda client: client.predict_batch(clips), batch=2)
    assert service.metric("emotions_requests_total", route="/v1/predict/batch", method="POST", status="200") == 3
    assert (results[2].status, results[2].code) == (415, "not_audio")
    for clip, result in zip(clips, results, strict=True):
        if not isinstance(result, ServiceError):
            assert result.label == predictor.predict(clip).label


def test_what_is_served_is_told(service: Service, predictor: Predictor) -> None:
    assert run(service, lambda client: client.model())["targets"] == predictor.manifest.targets


def test_a_refusal_is_an_error_with_the_services_words(service: Service) -> None:
    with pytest.raises(ServiceError, match="not audio") as caught:
        run(service, lambda client: client.predict(b"text"))
    assert (caught.value.status, caught.value.code) == (415, "not_audio")
    assert caught.value.request_id


def test_a_key_is_presented(start: StartService, tmp_path: Path, clip: bytes) -> None:
    key = add_key(tmp_path / "keys", "me")
    service = start(api_keys_file=tmp_path / "keys")
    assert run(service, lambda client: client.predict(clip), api_key=key).label
    with pytest.raises(ServiceError, match="API key"):
        run(service, lambda client: client.predict(clip))


def test_what_was_shed_or_lost_is_sent_again_after_growing_pauses(pauses: list[float]) -> None:
    client, seen = answering(429, 503, httpx.ConnectError, httpx.ReadTimeout, 200)
    with client:
        assert client.model() == {"name": "mine"}
    assert [str(request.url) for request in seen] == [f"{URL}/v1/model"] * 5
    assert len(pauses) == 4
    for attempt, pause in enumerate(pauses):
        assert 0.5 * 0.25 * 2**attempt <= pause <= 1.5 * 0.25 * 2**attempt


def test_a_body_is_sent_whole_each_time(pauses: list[float], clip: bytes) -> None:
    client, seen = answering(503, 400)
    with pytest.raises(ServiceError, match="words"):
        client.predict_batch([clip, clip])
    assert [request.read().count(clip) for request in seen] == [2, 2]


def test_the_pause_that_the_service_asks_for_is_made_within_reason(pauses: list[float]) -> None:
    for asked, least, most in (("3", 3, 3.5), ("9000", 60, 60.5), ("soon", 0, 0.5)):
        client, _ = answering(429, 200, **{"retry-after": asked})
        client.model()
        assert least <= pauses.pop() <= most


def test_it_gives_up_in_the_end(pauses: list[float]) -> None:
    client, seen = answering(503, 503, 503)
    with pytest.raises(ServiceError, match="words") as caught:
        client.model()
    assert (caught.value.status, caught.value.code, len(seen)) == (503, "some", 3)
    client, seen = answering(httpx.ConnectError, httpx.ConnectError)
    with pytest.raises(ServiceError, match=r"http://service: no answer \(gone\)") as caught:
        client.model()
    assert (caught.value.status, caught.value.code, len(seen)) == (0, "unreachable", 2)


def test_a_mistake_is_not_repeated(pauses: list[float]) -> None:
    client, seen = answering(400, 200)
    with pytest.raises(ServiceError):
        client.model()
    assert (len(seen), pauses) == (1, [])


@pytest.mark.parametrize(("status", "text"), [(200, "<html>"), (200, "[1]"), (502, "<html>"), (404, '{"detail": 1}')])
def test_something_else_than_the_service_is_told(status: int, text: str) -> None:
    client = Client(URL, transport=httpx.MockTransport(lambda _: httpx.Response(status, text=text)))
    with pytest.raises(ServiceError, match="not as the service does") as caught:
        client.model()
    assert (caught.value.status, caught.value.code) == (status, "not_the_service")


def test_what_is_no_clip_is_refused_before_it_is_sent() -> None:
    client, seen = answering(200)
    for wrong in (np.zeros((2, 100)), np.zeros(100, int), 5):
        with pytest.raises(AudioError):
            client.predict(wrong)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        client.predict("nowhere.wav")
    with pytest.raises(ValueError, match="retries"):
        Client(URL, retries=-1)
    assert seen == []


def test_the_package_offers_both() -> None:
    assert (emotions.Client, emotions.AsyncClient, emotions.ServiceError) == (Client, AsyncClient, ServiceError)
