from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from emotions.errors import ConfigError
from emotions.predictor import Predictor
from emotions.runtime.batch_shape import Probabilities
from serving.settings import Settings
from tests.conftest import TINY_WINDOW, Tone
from tests.emotions.audio.speech.conftest import between_silences, real_clips, sounds_without_speech
from tests.serving.conftest import Service, StartService, error_of

WavBytes = Callable[..., bytes]


def test_an_answer_has_the_published_keys_and_the_predictors_figures(
    service: Service, predictor: Predictor, clip: bytes
) -> None:
    response = service.post(clip)
    body, expected = response.json(), predictor.predict(clip)
    assert response.status_code == 200
    assert list(body) == [
        "label",
        "confidence",
        "probabilities",
        "duration_sec",
        "truncated",
        "warnings",
        "timing_ms",
        "usage",
        "bundle",
        "request_id",
    ]
    assert body["label"] == expected.label
    assert body["confidence"] == pytest.approx(expected.confidence, abs=1e-5)
    for target, scores in expected.probabilities.items():
        assert body["probabilities"][target] == pytest.approx(scores, abs=1e-5)
    assert body["duration_sec"] == pytest.approx(1.2)
    assert body["bundle"] == predictor.bundle.id
    spent = body["timing_ms"]["decode"] + body["timing_ms"]["inference"]
    assert body["usage"] == {"audio_sec": 1.2, "processing_ms": pytest.approx(spent, abs=0.01)}
    assert set(body["timing_ms"]) == {"decode", "queue", "inference", "total"}
    assert 0 < body["timing_ms"]["decode"] + body["timing_ms"]["inference"] <= body["timing_ms"]["total"]


def test_multipart_and_raw_bodies_are_the_same_recording(service: Service, clip: bytes) -> None:
    raw = service.post(clip, headers={"content-type": "application/x-www-form-urlencoded"}).json()
    form = service.request("POST", "/v1/predict", files={"file": ("a.wav", clip)}, data={"note": "x"}).json()
    assert form["probabilities"] == raw["probabilities"]


def test_windows_come_on_request(service: Service, predictor: Predictor, clip: bytes) -> None:
    windows = service.post(clip, "/v1/predict?windows=1").json()["windows"]
    assert [(part["start"], part["end"]) for part in windows] == [(0, 0.5), (0.5, 1.0), (0.7, 1.2)]
    expected = predictor.predict(clip).windows[2].probabilities
    assert windows[2]["probabilities"]["emotion"] == pytest.approx(expected["emotion"], abs=1e-5)
    assert "windows" not in service.post(clip, "/v1/predict?windows=0").json()


def test_only_speech_is_classified_on_request(service: Service, predictor: Predictor, wav_bytes: WavBytes) -> None:
    talk = wav_bytes(between_silences(real_clips()[:2]), rate=16_000)
    body, expected = (
        service.post(talk, "/v1/predict?segments=speech").json(),
        predictor.predict(talk, segments="speech"),
    )
    assert body["probabilities"]["emotion"] == pytest.approx(expected.probabilities["emotion"], abs=1e-5)
    assert body["speech_sec"] == expected.speech_sec
    assert [(part["start"], part["end"]) for part in body["segments"]] == [
        (part.start, part.end) for part in expected.segments
    ]
    assert body["duration_sec"] == expected.duration_sec
    assert "segments" not in service.post(talk, "/v1/predict?segments=windows").json()


def test_a_recording_without_speech_is_no_speech(service: Service, wav_bytes: WavBytes) -> None:
    for samples in sounds_without_speech().values():
        response = service.post(wav_bytes(samples, rate=16_000), "/v1/predict?segments=speech")
        assert error_of(response) == (422, "no_speech")


def test_segments_that_cannot_be_given_are_refused(
    service: Service, clip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    response = service.post(clip, "/v1/predict?segments=music")
    assert error_of(response) == (400, "bad_request")

    def missing() -> None:
        raise ConfigError("is not installed")

    monkeypatch.setattr("serving.http.query.speech_network", missing)
    response = service.post(clip, "/v1/predict?segments=speech")
    assert error_of(response) == (501, "not_installed")


def test_labels_are_sent_as_utf8(start: StartService, predictor: Predictor, clip: bytes) -> None:
    targets = {"emotion": ["гнев", "радость", "грусть"], "state": ["negative", "positive"]}
    bundle = replace(predictor.bundle, manifest=predictor.manifest.model_copy(update={"targets": targets}))
    service = start()
    service.engine.predictor = Predictor(bundle, predictor.session)
    assert "радость" in service.post(clip).content.decode("utf-8")


def test_the_model_route_says_what_is_served(service: Service, predictor: Predictor) -> None:
    body = service.request("GET", "/v1/model").json()
    assert body["bundle"] == predictor.bundle.id
    assert body["targets"] == predictor.manifest.targets
    assert body["window"] == {"samples": TINY_WINDOW, "hop_samples": TINY_WINDOW, "dynamic": False}
    assert (body["device"], body["variant"]) == ("cpu", "fp32")
    assert body["limits"]["max_bytes"] == Settings().max_bytes


def test_the_model_route_shows_licences_and_says_loudly_what_forbids_commercial_use(
    start: StartService, predictor: Predictor
) -> None:
    service = start()

    def body(encoder: dict[str, str] | None) -> dict[str, Any]:
        bundle = replace(predictor.bundle, manifest=predictor.manifest.model_copy(update={"encoder": encoder}))
        service.engine.predictor = Predictor(bundle, predictor.session)
        found: dict[str, Any] = service.request("GET", "/v1/model").json()
        return found

    known = predictor.manifest.dataset
    assert body(None)["license"] is None
    assert body(None)["data_license"] == (known.license if known else None)
    assert body({"license": "cc-by-nc-4.0"})["license"] == "cc-by-nc-4.0"
    assert any(line.startswith("NON-COMMERCIAL") for line in body({"license": "cc-by-nc-4.0"})["warnings"])
    assert not any("COMMERCIAL" in line for line in body({"license": "mit"})["warnings"])


@pytest.mark.parametrize(
    ("given", "kept"), [("abc-1.2_Z", True), ("a" * 128, True), ("a" * 129, False), ("a b", False), ("", False)]
)
def test_a_sane_request_id_is_echoed_and_any_other_replaced(
    service: Service, clip: bytes, given: str, kept: bool
) -> None:
    response = service.post(clip, headers={"x-request-id": given})
    name = response.headers["x-request-id"]
    assert response.json()["request_id"] == name
    assert (name == given) is kept
    assert len(name) == (len(given) if kept else 32)


def test_recordings_that_cannot_be_used_say_why(service: Service, tone: Tone, wav_bytes: WavBytes) -> None:
    nan = tone(1.0)
    nan[100] = np.nan
    bodies = {
        b"hello": (415, "not_audio"),
        wav_bytes(np.zeros(16_000, np.float32)): (422, "silent"),
        wav_bytes(tone(0.01)): (422, "too_short"),
        wav_bytes(nan): (422, "not_finite"),
        b"": (400, "bad_request"),
    }
    assert [error_of(service.post(body)) for body in bodies] == [*bodies.values()]


def test_a_recording_that_was_cut_off_is_marked_or_refused(
    start: StartService, service: Service, tone: Tone, wav_bytes: WavBytes
) -> None:
    cut = wav_bytes(tone(1.0))[:-100]
    body = service.post(cut).json()
    assert (body["truncated"], body["duration_sec"]) == (True, pytest.approx(0.9984375))
    assert body["warnings"] == ["truncated: is cut off: 100 bytes of what its header promises are missing"]
    assert error_of(start(strict=True).post(cut)) == (415, "truncated")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"files": {"other": ("a.wav", b"x")}}, "'file' is missing"),
        ({"files": {"file": (None, b"x")}}, "is text: give it a file name"),
        ({"files": {"file": ("a.wav", b"")}}, "empty"),
        ({"files": [("file", ("a.wav", b"x")), ("file", ("b.wav", b"x"))]}, "Too many files"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, "boundary"),
        ({"content": b"junk", "headers": {"content-type": "multipart/form-data; boundary=q"}}, "malformed"),
        ({"content": b"", "headers": {"content-type": "multipart/form-data; boundary=q"}}, "'file' is missing"),
    ],
)
def test_malformed_uploads_are_refused(service: Service, options: Any, reason: str) -> None:
    response = service.request("POST", "/v1/predict", **options)
    assert error_of(response) == (400, "bad_request")
    assert reason in response.json()["error"]["message"]


def test_too_many_bytes_are_refused_declared_or_streamed(start: StartService, clip: bytes) -> None:
    service = start(max_bytes=len(clip))
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 10_000
            yield bytes(10_000)

    assert service.post(clip).status_code == 200
    assert service.request("POST", "/v1/predict", files={"file": ("a.wav", clip)}).status_code == 200
    too_large = (413, "too_large")
    assert error_of(service.post(clip + b"x")) == too_large
    assert error_of(service.request("POST", "/v1/predict", files={"file": ("a.wav", clip + b"x")})) == too_large
    cut = service.post(endless())
    assert error_of(cut) == too_large
    assert cut.headers["connection"] == "close"
    assert sent <= 8 * len(clip) + 20_000


def test_a_declared_length_above_the_limit_is_refused_unread(start: StartService) -> None:
    service = start(max_bytes=1000)

    read: list[bytes] = []

    async def body() -> AsyncIterator[bytes]:
        read.append(bytes(100))
        yield read[-1]

    response = service.post(body(), headers={"content-length": "100000"})
    assert error_of(response) == (413, "too_large")
    assert read == []


def test_too_many_seconds_are_refused(start: StartService, clip: bytes) -> None:
    assert error_of(start(max_seconds=1).post(clip)) == (413, "too_long")


def test_unknown_paths_and_methods_are_json(service: Service, clip: bytes) -> None:
    assert error_of(service.request("GET", "/v3/predict")) == (404, "not_found")
    wrong = service.request("PUT", "/v1/predict", content=clip)
    assert error_of(wrong) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "POST"


def test_bentoml_pickles_are_refused(service: Service) -> None:
    response = service.post(b"x", headers={"content-type": "application/vnd.bentoml+pickle"})
    assert error_of(response) == (415, "unsupported_media_type")


def test_before_the_model_is_loaded_it_is_not_ready(service: Service, clip: bytes) -> None:
    service.worker.engine = None
    assert error_of(service.post(clip)) == (503, "not_ready")


def test_our_own_failure_is_a_500_without_detail_and_logged_once(
    start: StartService, clip: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> Probabilities:
        raise ValueError("secret detail")

    with caplog.at_level(logging.INFO):
        response = start(broken).post(clip, headers={"x-request-id": "r1"})
    assert error_of(response) == (500, "internal")
    assert "secret" not in response.text
    assert [record.getMessage() for record in caplog.records if record.exc_info] == ["request r1 failed"]


def test_a_clients_mistake_leaves_no_traceback_and_no_name_in_the_log(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        service.request("POST", "/v1/predict", files={"file": ("alice.wav", b"no audio")})
    assert not [record for record in caplog.records if record.exc_info]
    assert "alice" not in caplog.text


def test_what_is_below_the_bundles_threshold_is_told_unknown(
    service: Service, predictor: Predictor, clip: bytes
) -> None:
    for threshold, unknown in ((0.0, False), (1.0, True)):
        manifest = predictor.manifest.model_copy(update={"calibration": {"emotion": {"threshold": threshold}}})
        service.engine.predictor = Predictor(replace(predictor.bundle, manifest=manifest), predictor.session)
        body = service.post(clip).json()
        assert (body["unknown"], body["unknowns"]) == (unknown, {"emotion": unknown})
        assert body["label"] == predictor.predict(clip).label
