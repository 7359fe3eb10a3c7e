"""A file that is streamed in random cuts has the segments of the folder run."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emotions.audio.windows import FloatArray
from emotions.predictor import Predictor
from tests.emotions.audio.speech.conftest import between_silences, real_clips
from tests.serving.http.stream.conftest import CLOSE, Json, Server, ServeStreams, Talk, converse, cut, s16, update


def _assert_same(segments: list[Json], parts: object, channel: int = 0) -> None:
    mine = [segment for segment in segments if segment["channel"] == channel]
    expected = [*parts]  # type: ignore[call-overload]
    assert [(each["audio_start_ms"], each["audio_end_ms"]) for each in mine] == [
        (each.start * 1000, each.end * 1000) for each in expected
    ]
    for segment, part in zip(mine, expected, strict=True):
        for target, scores in part.probabilities.items():
            assert segment["probabilities"][target] == pytest.approx(scores, abs=1e-4)
        best = part.probabilities["emotion"]
        assert segment["label"] == max(best, key=best.__getitem__)


def _folder(predictor: Predictor, path: Path, segments: str) -> object:
    (result,) = predictor.predict_folder(path, segments=segments)  # type: ignore[arg-type]
    assert result.prediction is not None
    return result.prediction.segments if segments == "speech" else result.prediction.windows


def _stream(server: Server, data: bytes, seed: int, **session: object) -> Talk:
    parts = cut(data, np.random.default_rng(seed), 40_000)
    talk = converse(server, [update(**session), *parts, CLOSE])
    assert (talk.code, talk.errors) == (1000, [])
    return talk


def _noise(seed: int, samples: int) -> FloatArray:
    random = np.random.default_rng(seed)
    loud = np.repeat(random.uniform(0.01, 0.5, samples // 1000 + 1), 1000)[:samples]
    return (loud * random.uniform(-1, 1, samples)).astype(np.float32)


@pytest.mark.parametrize(("rate", "subtype"), [(16_000, "PCM_16"), (44_100, "FLOAT"), (8_000, "PCM_16")])
def test_windows_of_all_of_it(
    serve: ServeStreams, predictor: Predictor, tmp_path: Path, rate: int, subtype: str
) -> None:
    samples = _noise(rate, 3 * rate + 77)
    integers = np.frombuffer(s16(samples), "<i2")
    written = integers if subtype == "PCM_16" else samples
    soundfile.write(tmp_path / "clip.wav", written, rate, subtype=subtype)
    encoding = "pcm_s16le" if subtype == "PCM_16" else "pcm_f32le"
    talk = _stream(serve(), written.tobytes(), 1, rate=rate, encoding=encoding, vad=False)
    _assert_same(talk.closed["segments"], _folder(predictor, tmp_path / "clip.wav", "windows"))
    assert talk.closed["audio_ms"] == pytest.approx(1000 * len(samples) / rate, abs=0.001)


def test_speech_beside_other_streams(serve: ServeStreams, predictor: Predictor, tmp_path: Path) -> None:
    clips = real_clips()
    server = serve()
    talks = [between_silences(clips[number : number + 2]) for number in range(4)]
    for number, waveform in enumerate(talks):
        soundfile.write(tmp_path / f"{number}.wav", np.frombuffer(s16(waveform), "<i2"), 16_000)
    with ThreadPoolExecutor(5) as pool:
        silent = pool.submit(_stream, server, bytes(640_000), 9, vad=True)
        streams = [*pool.map(lambda each: _stream(server, s16(each[1]), each[0], vad=True), enumerate(talks))]
    assert silent.result().closed["segments"] == []
    for number, stream in enumerate(streams):
        _assert_same(stream.closed["segments"], _folder(predictor, tmp_path / f"{number}.wav", "speech"))
        started, stopped = stream.of("speech.started"), stream.of("speech.stopped")
        segments = stream.closed["segments"]
        assert [each["audio_start_ms"] for each in started] == [each["audio_start_ms"] for each in segments]
        assert [each["audio_end_ms"] for each in stopped] == [each["audio_end_ms"] for each in segments]
        last = [each for each in stream.of("measurement") if each["trigger"] == "speech_stopped"]
        assert [each["audio_end_ms"] for each in last] == [each["audio_end_ms"] for each in segments]


def test_channels(serve: ServeStreams, predictor: Predictor, tmp_path: Path) -> None:
    stereo = np.stack([_noise(1, 24_000), _noise(2, 24_000)])
    for channel, samples in enumerate(stereo):
        soundfile.write(tmp_path / f"{channel}.wav", np.frombuffer(s16(samples), "<i2"), 16_000)
    talk = _stream(serve(), s16(stereo.T.reshape(-1)), 3, channels=2, vad=False)
    for channel in (0, 1):
        _assert_same(talk.closed["segments"], _folder(predictor, tmp_path / f"{channel}.wav", "windows"), channel)
    assert {each["channel"] for each in talk.of("measurement")} == {0, 1}


def test_only_the_targets_that_are_wanted(serve: ServeStreams) -> None:
    talk = _stream(serve(), s16(_noise(1, 24_000)), 3, vad=False, targets=["state"])
    for answer in (*talk.of("measurement"), *talk.closed["segments"]):
        assert [*answer["probabilities"]] == ["state"]
        assert answer["label"] in {"negative", "positive"}


def test_flush_and_the_messages_that_do_nothing(serve: ServeStreams) -> None:
    messages = [json.dumps({"type": kind}) for kind in ("keep_alive", "flush", "flush")]
    data = s16(_noise(1, 8_000))
    talk = converse(serve(), [messages[0], update(vad=False), data, *messages, CLOSE])
    (measured,) = talk.of("measurement")
    assert (measured["trigger"], measured["audio_start_ms"], measured["audio_end_ms"]) == ("interval", 0.0, 500.0)
    assert [message["type"] for message in talk.messages[:2]] == ["session.created", "session.updated"]
