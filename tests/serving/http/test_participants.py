"""Channels and calls over HTTP."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
import soundfile

from emotions.predictor import Predictor
from tests.conftest import Tone
from tests.emotions.audio.speech.conftest import between_silences, real_clips
from tests.serving.conftest import Service, error_of

WavBytes = Callable[..., bytes]


@pytest.fixture
def stereo(tone: Tone, wav_bytes: WavBytes) -> bytes:
    return wav_bytes(np.stack([tone(1.2, 300), tone(1.2, 3_000)], axis=1))


def test_each_channel_is_answered_as_a_recording_of_its_own(
    service: Service, stereo: bytes, tone: Tone, predictor: Predictor
) -> None:
    body = service.post(stereo, "/v1/predict?channels=split&speakers=agent,customer&windows=1").json()
    assert list(body) == ["channels", "duration_sec", "timing_ms", "usage", "bundle", "request_id"]
    assert body["duration_sec"] == pytest.approx(1.2)
    for number, (channel, name, hertz) in enumerate(
        zip(body["channels"], ("agent", "customer"), (300, 3e3), strict=True), 1
    ):
        assert (channel["channel"], channel["speaker"]) == (number, name)
        expected = predictor.predict(tone(1.2, hertz))
        assert channel["probabilities"]["emotion"] == pytest.approx(expected.probabilities["emotion"], abs=1e-5)
        assert len(channel["windows"]) == 3
        one = service.post(stereo, f"/v1/predict?channels={number}").json()
        assert one["probabilities"] == channel["probabilities"]
    first = service.post(stereo, "/v1/predict?channels=first").json()
    assert first["probabilities"] == body["channels"][0]["probabilities"]


def test_what_cannot_be_used_of_a_recording_is_said_of_its_channel(
    service: Service, tone: Tone, wav_bytes: WavBytes
) -> None:
    half = wav_bytes(np.stack([tone(1.2), np.zeros(len(tone(1.2)))], axis=1))
    one, other, missing = service.post(half, "/v1/predict?channels=split&speakers=a,b,c").json()["channels"]
    assert "label" in one
    assert (other["error"]["code"], missing["error"]["code"]) == ("silent", "no_channel")
    assert (other["speaker"], other["error"]["status"], "label" in other) == ("b", 422, False)
    nothing = wav_bytes(np.zeros((9_000, 2)))
    assert error_of(service.post(nothing, "/v1/predict?channels=split")) == (422, "silent")
    assert error_of(service.post(half, "/v1/predict?channels=3")) == (422, "no_channel")
    assert error_of(service.post(b"no audio" * 99, "/v1/predict?channels=split")) == (415, "not_audio")


def test_a_compressed_recording_is_split_in_a_decoder(service: Service, tone: Tone) -> None:
    file = io.BytesIO()
    soundfile.write(file, np.stack([tone(1.2, 300), tone(1.2, 3_000)], axis=1), 16_000, format="OGG")
    channels = service.post(file.getvalue(), "/v1/predict?channels=split").json()["channels"]
    assert [each["speaker"] for each in channels] == ["channel 1", "channel 2"]
    assert channels[0]["probabilities"] != channels[1]["probabilities"]


@pytest.mark.parametrize("query", ["speakers=a,b", "channels=split&speakers=a,a", "channels=split&speakers=%07"])
def test_names_that_cannot_be_are_refused(service: Service, stereo: bytes, query: str) -> None:
    assert error_of(service.post(stereo, f"/v1/predict?{query}")) == (422, "bad_speakers")


@pytest.mark.parametrize("query", ["channels=left", "channels=0", "channels=65", "segments=x"])
def test_other_queries_are_refused(service: Service, stereo: bytes, query: str) -> None:
    assert error_of(service.post(stereo, f"/v1/predict?{query}")) == (400, "bad_request")


def test_many_channels_are_not_split(service: Service, tone: Tone, wav_bytes: WavBytes) -> None:
    nine = wav_bytes(np.stack([tone(0.5)] * 9, axis=1))
    assert error_of(service.post(nine, "/v1/predict?channels=split")) == (413, "too_many_channels")
    assert service.post(nine, "/v1/predict?channels=9").status_code == 200


def test_a_batch_is_split_item_by_item(service: Service, stereo: bytes, clip: bytes) -> None:
    files = [("file", ("a.wav", stereo)), ("file", ("b.wav", clip)), ("file", ("c.wav", b"text" * 99))]
    body = service.request("POST", "/v1/predict/batch?channels=split", files=files).json()
    assert [len(each.get("channels", [])) for each in body["results"]] == [2, 1, 0]
    assert body["errors"] == 1


def test_what_a_call_comes_to(service: Service, predictor: Predictor, wav_bytes: WavBytes) -> None:
    agent, customer = (between_silences(part) for part in (real_clips()[:1], real_clips()[1:2]))
    samples = max(len(agent), len(customer))
    call = wav_bytes(np.stack([np.pad(each, (0, samples - len(each))) for each in (agent, customer)], axis=1))
    body = service.post(call, "/v1/predict?channels=split&speakers=agent,customer&calls=1").json()
    expected = predictor.predict_call(call, speakers=("agent", "customer")).to_dict()
    for key in ("duration_sec", "talk_sec", "silence_sec", "overlap_sec", "interruptions"):
        assert body["call"][key] == expected[key]
    for found, wanted in zip(body["call"]["participants"], expected["participants"], strict=True):
        assert {key: found[key] for key in ("speaker", "channel", "talk_sec", "level_dbfs")} == {
            key: wanted[key] for key in ("speaker", "channel", "talk_sec", "level_dbfs")
        }
        assert found["probabilities"]["emotion"] == pytest.approx(wanted["probabilities"]["emotion"], abs=1e-4)
    assert body["channels"][0]["segments"][0]["level_dbfs"] < 0
    whole = service.post(call, "/v1/predict?calls=1").json()
    assert len(whole["call"]["participants"]) == 1
    assert whole["call"]["participants"][0]["talk_sec"] == pytest.approx(whole["speech_sec"])
