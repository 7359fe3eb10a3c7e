"""A real server under many kinds of recordings at once, and under what no client should send.

``EMOTIONS_FULL=1`` runs the full counts: 2,000 recordings at each number of connections and 500 malformed bodies.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import random
import socket
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import psutil  # type: ignore[import-untyped]  # comes with bentoml
import pytest
import soundfile

import emotions
from emotions.audio.windows import FloatArray
from emotions.folder.predict_files import predict_files
from emotions.inputs.discovery import find_files
from tests.pauses import watched_pauses
from tests.servers import Server, running

pytestmark = pytest.mark.slow

FULL = os.environ.get("EMOTIONS_FULL") == "1"
REQUESTS, BODIES = (2_000, 500) if FULL else (100, 40)
CONNECTIONS = (1, 16, 64)
MAX_BYTES = 4 << 20
LIMITS = {"EMOTIONS_MAX_BYTES": str(MAX_BYTES), "EMOTIONS_MAX_IN_FLIGHT": "128", "EMOTIONS_TIMEOUT_SEC": "60"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("server"), EMOTIONS_BUNDLE=str(tiny_bundle), **LIMITS) as started:
        yield started


def voice(index: int, seconds: float, rate: int) -> FloatArray:
    """A tone with harmonics of its own, so that no two recordings are answered alike: (samples,) float32."""
    at = np.arange(int(seconds * rate)) / rate
    hertz = 110 + 37 * (index % 90)
    return (0.2 * np.sin(2 * np.pi * hertz * at) + 0.1 * np.sin(2 * np.pi * 2.7 * hertz * at)).astype(np.float32)


def write_m4a(path: Path, waveform: FloatArray, rate: int) -> None:
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(waveform[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """WAV, FLAC, MP3 and M4A of 0.5 to 20 s at several rates."""
    where = tmp_path_factory.mktemp("mixed")
    lengths = random.Random(0)
    for index in range(48):
        kind, rate = ("wav", "flac", "mp3", "m4a")[index % 4], (16_000, 44_100, 8_000, 48_000)[index // 4 % 4]
        waveform = voice(index, lengths.choice([0.5, 1.3, 3, 5, 9, 20]), rate)
        path = where / f"{index:02}.{kind}"
        if kind == "m4a":
            write_m4a(path, waveform, rate)
        else:
            soundfile.write(path, waveform, rate)
    return where


@pytest.fixture(scope="module")
def expected(folder: Path, tiny_bundle: Path) -> list[tuple[bytes, emotions.Prediction]]:
    """Each recording with what a run over the folder says of it."""
    predictor = emotions.load(tiny_bundle, device="cpu", threads=1)
    files = find_files([folder]).files
    answers = [result.prediction for result in predict_files(predictor, files)]
    return [(file.path.read_bytes(), answer) for file, answer in zip(files, answers, strict=True) if answer]


@pytest.mark.parametrize("connections", CONNECTIONS)
def test_every_answer_is_the_folder_runs(
    server: Server, expected: list[tuple[bytes, emotions.Prediction]], connections: int
) -> None:
    assert len(expected) == 48
    todo = [expected[index % len(expected)] for index in range(REQUESTS)]
    random.Random(connections).shuffle(todo)
    limits = httpx.Limits(max_connections=connections)
    with httpx.Client(timeout=90, limits=limits) as client, ThreadPoolExecutor(connections) as pool:
        answers = list(pool.map(lambda item: client.post(f"{server.url}/v1/predict", content=item[0]), todo))
    assert Counter(answer.status_code for answer in answers) == {200: REQUESTS}
    worst = 0.0
    for answer, (_, prediction) in zip(answers, todo, strict=True):
        for target, scores in prediction.probabilities.items():
            said = answer.json()["probabilities"][target]
            worst = max(worst, *(abs(said[label] - score) for label, score in scores.items()))
    assert worst < 1e-4


def _zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("clip.wav", bytes(5_000_000))
    return file.getvalue()


def _malformed(draw: random.Random, recordings: list[bytes]) -> bytes:
    """A body that is broken in one of many ways."""
    whole = draw.choice(recordings)
    flipped = bytearray(whole)
    for _ in range(draw.randint(1, 60)):
        flipped[draw.randrange(min(len(flipped), 4096))] = draw.randrange(256)
    huge_header = whole[:4] + b"\xff\xff\xff\x7f" + whole[8:40] + b"\xff\xff\xff\xff" + whole[44:]
    return draw.choice(
        [
            bytes(flipped),
            whole[: draw.randrange(len(whole))],
            draw.randbytes(draw.randrange(1, 5_000)),
            whole[:64] + draw.randbytes(2_000),
            huge_header,
            _zipped(),
            pickle.dumps({"a": [1] * 1000}),
            b"#EXTM3U\nfile:///etc/passwd\n",
            bytes(draw.randrange(1, 100_000)),
            b"",
        ]
    )


def _post(server: Server, draw: random.Random, body: bytes) -> int:
    """Send a body raw, as a form, as one with broken bounds or with a length that is wrong; its status, 0 for none."""
    way = draw.randrange(6)
    url = f"{server.url}/v1/predict{draw.choice(['', '/batch'])}"
    if way == 0:
        return httpx.post(url, content=body, timeout=30).status_code
    if way in {1, 2}:
        return httpx.post(url, files={"file": ("a", body)}, timeout=30).status_code
    if way == 3:
        headers = {"content-type": "multipart/form-data; boundary=q"}
        return httpx.post(url, content=b"--q\r\n" + body, headers=headers, timeout=30).status_code
    if way == 4:
        headers = {"content-type": draw.choice(["application/json", "audio/wav", "application/vnd.bentoml+pickle"])}
        return httpx.post(f"{server.url}/predict", content=body, headers=headers, timeout=30).status_code
    return _wrong_length(server, body, draw.choice([-1, 1, 10**9, 10**30]))


def _wrong_length(server: Server, body: bytes, off: int) -> int:
    host, port = server.url.removeprefix("http://").split(":")
    head = f"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: {max(0, len(body) + off)}\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=30) as connection, contextlib.suppress(OSError):
        connection.sendall(head.encode() + body)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(64)
        return int(answer.split()[1]) if answer else 0
    return 0


class Watch(threading.Thread):
    """Asks for something small all the time, and notes the slowest answer and the server's largest memory."""

    def __init__(self, server: Server, content: bytes) -> None:
        super().__init__()
        self.server, self.content = server, content
        self.stop, self.statuses = threading.Event(), Counter[int]()
        self.moments: list[tuple[float, float]] = []
        self.before = self.memory = self._resident()

    def _resident(self) -> int:
        parent, found = psutil.Process(self.server.process.pid), 0
        for each in (parent, *parent.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):  # a decoder that ended meanwhile
                found += int(each.memory_info().rss)
        return found

    def run(self) -> None:
        with httpx.Client(timeout=30) as client:
            while not self.stop.wait(0.05):
                started = time.perf_counter()
                self.statuses[client.post(f"{self.server.url}/v1/predict", content=self.content).status_code] += 1
                self.moments.append((started, time.perf_counter()))
                self.memory = max(self.memory, self._resident())


@contextlib.contextmanager
def watched(server: Server, content: bytes) -> Iterator[Watch]:
    watch = Watch(server, content)
    watch.start()
    try:
        yield watch
    finally:
        watch.stop.set()
        watch.join()


def test_malformed_bodies_are_never_our_fault_and_hold_up_nobody(
    server: Server, expected: list[tuple[bytes, emotions.Prediction]], record_property: Callable[[str, Any], None]
) -> None:
    recordings = [content for content, _ in expected if len(content) < 300_000]
    draw = random.Random(7)
    with watched_pauses() as pauses, watched(server, recordings[0]) as watch, ThreadPoolExecutor(4) as pool:
        bodies = [(random.Random(index), _malformed(draw, recordings)) for index in range(BODIES)]
        large = [pool.submit(_post_large, server) for _ in range(2)]
        slow = [pool.submit(_send_slowly, server) for _ in range(1)]
        statuses = Counter(pool.map(lambda item: _post(server, *item), bodies))
        assert {each.result() for each in large} == {413}
        assert {each.result() for each in slow} == {200}
    assert set(statuses) <= {0, 200, 400, 405, 413, 415, 422}, statuses
    assert set(watch.statuses) == {200}
    slowest = max((pauses.seconds_without(*each) for each in watch.moments), default=0.0)
    grown = (watch.memory - watch.before) >> 20
    record_property("slowest_sec", slowest)
    print(f"{BODIES} malformed bodies: {dict(statuses)}; slowest other request {slowest:.3f} s, {grown} MB more")
    assert slowest < (0.2 if FULL else 1.0), "the reduced run may share its cores with other tests"
    assert grown < 300
    assert "Traceback" not in server.log.read_text()


def _post_large(server: Server) -> int:
    """300 MB whose length is not declared."""
    blocks = (bytes(1 << 20) for _ in range(300))
    try:
        return httpx.post(f"{server.url}/v1/predict", content=blocks, timeout=30).status_code
    except httpx.WriteError:
        return 413  # cut off while it still sent


def _send_slowly(server: Server) -> int:
    content = io.BytesIO()
    soundfile.write(content, voice(3, 0.5, 16_000), 16_000, format="WAV", subtype="PCM_16")

    def trickle() -> Iterator[bytes]:
        whole = content.getvalue()
        for at in range(0, len(whole), 2_000):
            time.sleep(0.1)
            yield whole[at : at + 2_000]

    return httpx.post(f"{server.url}/v1/predict", content=trickle(), timeout=30).status_code
