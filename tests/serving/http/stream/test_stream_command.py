"""``emotions stream`` against the real route."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from emotions.cli import build_app
from emotions.client.stream_command import lines
from emotions.errors import ConfigError, EmotionsError, MissingExtra, ServiceError
from tests.conftest import WriteWav
from tests.emotions.audio.speech.conftest import between_silences, real_clips
from tests.serving.http.stream.conftest import Server, ServeStreams, serve

__all__ = ["serve"]  # a fixture
SOUND = np.random.default_rng(0).uniform(-0.5, 0.5, 40_000).astype(np.float32)


def stream(server: Server, *arguments: str) -> Result:
    command = ["stream", *arguments, "--url", f"http://127.0.0.1:{server.address[1]}"]
    return CliRunner().invoke(build_app(), command, catch_exceptions=False)


def test_a_line_a_measurement(serve: ServeStreams, write_wav: WriteWav, tmp_path: Path) -> None:
    path = write_wav(tmp_path / "clip.wav", SOUND)
    done = stream(serve(), str(path), "--all")
    told = done.output.splitlines()
    assert [line.split()[:2] for line in told[:2]] == [["1.00", "s"], ["2.00", "s"]]
    assert told[2] == "2.5 s of audio, 5 segments"
    assert len(told) == 8
    assert all("angry" in line and "positive" in line for line in (*told[:2], *told[3:]))


def test_speech_starts_and_stops(serve: ServeStreams, write_wav: WriteWav, tmp_path: Path) -> None:
    path = write_wav(tmp_path / "talk.wav", between_silences(real_clips()[:2]))
    told = stream(serve(), str(path), "--interval", "500").output
    assert told.count("speech started") == told.count("speech stopped") >= 2


def test_a_file_as_slowly_as_it_plays(serve: ServeStreams, write_wav: WriteWav, tmp_path: Path) -> None:
    path = write_wav(tmp_path / "clip.wav", SOUND)
    server = serve(stream_ahead_sec=1.5)
    with pytest.raises(ServiceError, match="ahead of real time"):
        stream(server, str(path), "--all")
    assert "2.5 s of audio" in stream(server, str(path), "--all", "--realtime").output


def test_the_microphone(serve: ServeStreams, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read until Ctrl-C; here it breaks by itself."""

    class PortAudioError(Exception):
        pass

    class RawInputStream:
        def __init__(self, **options: Any) -> None:
            assert options == {"samplerate": 16_000, "channels": 1, "dtype": "int16", "blocksize": 1600}
            self.left = 12

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def read(self, samples: int) -> tuple[bytes, bool]:
            self.left -= 1
            if not self.left:
                raise PortAudioError("unplugged")
            return np.round(SOUND[:samples] * 32_767).astype(np.int16).tobytes(), False

    module = types.SimpleNamespace(RawInputStream=RawInputStream, PortAudioError=PortAudioError)
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    with pytest.raises(ConfigError, match="unplugged"):
        stream(serve(), "mic", "--all")


def test_what_is_missing_is_named(serve: ServeStreams, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    server = serve()
    with pytest.raises(MissingExtra, match=r"emotions-toolkit\[mic\]"):
        stream(server, "mic")
    with pytest.raises(EmotionsError, match="is no file"):
        stream(server, str(tmp_path / "nothing.wav"))


def test_labels_of_a_service_cannot_steer_the_terminal() -> None:
    answer = {"probabilities": {"emotion": {"\x1b[2J": 0.9}}, "unknown": True, "values": {"affect": {"arousal": 0.5}}}
    (line,) = lines({"type": "measurement", "audio_end_ms": 1000, **answer})
    assert "\x1b" not in line
    assert line.endswith("arousal 0.50  (unknown)")
    (line,) = lines({"type": "error", "code": "idle", "message": "no\nmessage"})
    assert "\n" not in line
