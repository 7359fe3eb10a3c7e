"""A bundle behind a real ``bentoml serve`` process."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import psutil  # type: ignore[import-untyped]  # comes with bentoml
import pytest
import soundfile

import emotions
from emotions.audio.windows import FloatArray
from tests.conftest import Tone, WriteWav
from tests.servers import Server, bentoml_serve, free_port, running

MAX_BYTES = 2 << 20
MAX_SECONDS = 20


@pytest.fixture(scope="module")
def server(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {"EMOTIONS_MAX_BYTES": str(MAX_BYTES), "EMOTIONS_MAX_SECONDS": str(MAX_SECONDS)}
    with running(tmp_path_factory.mktemp("server"), EMOTIONS_BUNDLE=str(tiny_bundle), **settings) as started:
        yield started


@pytest.fixture(scope="module")
def predictor(tiny_bundle: Path) -> emotions.Predictor:
    return emotions.load(tiny_bundle, device="cpu", threads=1)


def wav_bytes(waveform: FloatArray, rate: int = 16_000, subtype: str = "PCM_16") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, waveform, rate, format="WAV", subtype=subtype)
    return file.getvalue()


def assert_same(answer: dict[str, dict[str, dict[str, float]]], expected: emotions.Prediction) -> None:
    for target, scores in expected.probabilities.items():
        assert answer["probabilities"][target] == pytest.approx(scores, abs=1e-4)


def test_multipart_raw_and_bentomls_own_route_answer_as_the_library(
    server: Server, predictor: emotions.Predictor, tone: Tone
) -> None:
    clip = wav_bytes(tone(1.7, 300, 44_100), 44_100)
    expected = predictor.predict(clip)
    raw = server.post(clip, params={"windows": "1"}, headers={"x-request-id": "mine"}).json()
    files = {"file": ("clip.wav", clip)}
    form = httpx.post(f"{server.url}/v1/predict", files=files, timeout=20).json()
    native = httpx.post(f"{server.url}/predict", files=files, timeout=20).json()
    for answer in (raw, form, native):
        assert_same(answer, expected)
        assert answer["label"] == expected.label
        assert answer["bundle"] == predictor.bundle.id
    assert len(raw["windows"]) == len(expected.windows) == 4
    assert raw["request_id"] == "mine"


def test_bentomls_client_works(
    server: Server, predictor: emotions.Predictor, tone: Tone, write_wav: WriteWav, tmp_path: Path
) -> None:
    clip = write_wav(tmp_path / "clip.wav", tone(1.0))
    script = (
        "import bentoml, json, pathlib, sys\n"
        "with bentoml.SyncHTTPClient(sys.argv[1]) as client:\n"
        "    print(json.dumps(client.predict(file=pathlib.Path(sys.argv[2]))))"
    )
    command = [sys.executable, "-c", script, server.url, str(clip)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert_same(json.loads(done.stdout), predictor.predict(clip))


def test_sixteen_clients_get_their_own_answers(server: Server, predictor: emotions.Predictor, tone: Tone) -> None:
    clips = [wav_bytes(tone(0.3 + 0.17 * index, 120 + 140 * index)) for index in range(16)]
    expected = [predictor.predict(clip) for clip in clips]
    assert len({round(prediction.confidence, 3) for prediction in expected}) > 8
    with httpx.Client(timeout=20) as client, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda clip: client.post(f"{server.url}/v1/predict", content=clip), clips * 8))
    for answer, prediction in zip(answers, expected * 8, strict=True):
        assert answer.status_code == 200
        assert_same(answer.json(), prediction)


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("clip.wav", bytes(5000))
    return file.getvalue()


def _noise(sec: float) -> FloatArray:
    return np.random.default_rng(0).normal(0, 0.1, int(sec * 16_000)).astype(np.float32)


BAD: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "empty": (lambda: b"", 400, "bad_request"),
    "text": (lambda: b"this is no recording", 415, "not_audio"),
    "zip": (_zip, 415, "not_audio"),
    "pickle": (lambda: pickle.dumps({"a": 1}), 415, "not_audio"),
    "silent": (lambda: wav_bytes(np.zeros(16_000, np.float32)), 422, "silent"),
    "short": (lambda: wav_bytes(_noise(100 / 16_000)), 422, "too_short"),
    "nan": (lambda: wav_bytes(np.full(16_000, np.nan, np.float32), subtype="FLOAT"), 422, "not_finite"),
    "long": (lambda: wav_bytes(_noise(MAX_SECONDS + 1)), 413, "too_long"),
    "large": (lambda: bytes(5 * MAX_BYTES), 413, "too_large"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_bodies_are_refused_in_words(server: Server, name: str) -> None:
    make, status, code = BAD[name]
    content = make()
    files = {"file": ("alice-secret.wav", content)}
    for path in ("v1/predict", "predict"):
        raw = httpx.post(f"{server.url}/{path}", content=content, timeout=20)
        form = httpx.post(f"{server.url}/{path}", files=files, timeout=20)
        for response in (raw, form):
            assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    log = server.log.read_text()
    assert "Traceback" not in log
    assert "alice" not in log


@pytest.mark.parametrize("times", [2, 6])
def test_a_stream_that_grows_too_large_is_refused(server: Server, times: int) -> None:
    stream = (bytes(MAX_BYTES // 8) for _ in range(8 * times))
    response = httpx.post(f"{server.url}/v1/predict", content=stream, timeout=20)
    assert (response.status_code, response.json()["error"]["code"]) == (413, "too_large")


def test_an_endless_stream_is_cut_off(server: Server) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    block = b"40000\r\n" + bytes(0x40000) + b"\r\n"
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        with pytest.raises(ConnectionError):
            for _ in range(100 * MAX_BYTES // len(block)):
                connection.sendall(block)


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/v1/nothing", 404), ("GET", "/v1/predict", 405), ("PUT", "/predict", 405)]
)
def test_wrong_paths_and_methods_are_json(server: Server, method: str, path: str, status: int) -> None:
    response = httpx.request(method, server.url + path, timeout=20)
    assert response.status_code == status
    assert set(response.json()) == {"error", "request_id"}


def test_plain_bentoml_serve_takes_the_newest_bundle_on_loopback_and_ends_on_sigterm(
    tiny_bundle: Path, predictor: emotions.Predictor, tmp_path: Path
) -> None:
    shutil.copytree(tiny_bundle, tmp_path / "bundles" / "mine")
    with running(tmp_path) as server:
        assert httpx.get(f"{server.url}/v1/model", timeout=20).json()["bundle"] == predictor.bundle.id
        parent = psutil.Process(server.process.pid)
        listening = [
            connection.laddr.ip
            for process in (parent, *parent.children(recursive=True))
            for connection in process.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        ]
        assert set(listening) == {"127.0.0.1"}
        workers = parent.children(recursive=True)
        os.kill(server.process.pid, signal.SIGTERM)
        assert server.process.wait(60) == 0
        left = psutil.wait_procs(workers, timeout=30)[1]  # those of a worker that ended are for init to reap
        assert not left


@pytest.mark.parametrize("fault", ["altered", "missing", "setting"])
def test_a_server_that_cannot_serve_ends_with_one_line(tiny_bundle: Path, tmp_path: Path, fault: str) -> None:
    bundle = tmp_path / "bundle"
    if fault != "missing":
        shutil.copytree(tiny_bundle, bundle)
    if fault == "altered":
        (bundle / "model.onnx").write_bytes(b"altered")
    setting = {"EMOTIONS_MAX_BATCH": "many"} if fault == "setting" else {}
    log = tmp_path / "log"
    arguments = ("--port", str(free_port()))
    process = bentoml_serve(*arguments, cwd=tmp_path, log=log, EMOTIONS_BUNDLE=str(bundle), **setting)
    assert process.wait(120) != 0
    expected = {"altered": "SHA-256 differs", "missing": "no such folder", "setting": "EMOTIONS_MAX_BATCH: got 'many'"}
    assert expected[fault] in log.read_text()
    assert "Traceback" not in log.read_text()
