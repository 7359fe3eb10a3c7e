"""A real server under an operator's hand: its end, a killed worker, its metrics, keys and log."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped]  # comes with bentoml
import pytest
from bentoml.serving import ensure_prometheus_dir  # what another server does when it starts

from serving.http.api_keys import add_key
from tests.conftest import Tone, WavBytes
from tests.servers import REPOSITORY, Server, bentoml_serve, free_port, running, serving, wait_until_ready

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def clip(tone: Tone, wav_bytes: WavBytes) -> bytes:
    return wav_bytes(tone(1.0), subtype="PCM_16")


@contextlib.contextmanager
def half_sent(server: Server, content: bytes) -> Iterator[socket.socket]:
    """A request whose client has sent all but the last byte of its body."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        head = f"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n\r\n"
        connection.sendall(head.encode() + content[:-1])
        yield connection


def answer(connection: socket.socket) -> tuple[int, dict[str, object]]:
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
        head, _, body = received.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.I)
        if length and len(body) >= int(length[1]):
            break
    return int(received.split()[1]), json.loads(body)


PATIENT = {"EMOTIONS_BODY_GRACE_SEC": "60", "EMOTIONS_BODY_SEC": "60", "EMOTIONS_TIMEOUT_SEC": "60"}
"""A body that is half sent is waited for, however slow the machine is."""


def test_at_sigterm_it_is_not_ready_and_answers_what_it_has(tiny_bundle: Path, tmp_path: Path, clip: bytes) -> None:
    with running(tmp_path, EMOTIONS_BUNDLE=str(tiny_bundle), EMOTIONS_DRAIN_DELAY_SEC="8", **PATIENT) as server:
        with contextlib.ExitStack() as open_ones:
            accepted = [open_ones.enter_context(half_sent(server, clip)) for _ in range(16)]
            _until(lambda: "emotions_in_flight 16.0" in httpx.get(f"{server.url}/metrics", timeout=5).text)
            os.kill(server.process.pid, signal.SIGTERM)
            _until(lambda: httpx.get(f"{server.url}/readyz", timeout=5).status_code == 503, 6)
            assert httpx.get(f"{server.url}/livez", timeout=5).status_code == 200
            assert server.post(clip).status_code == 200
            _until(lambda: not _listens(server))
            for connection in accepted:
                connection.sendall(clip[-1:])
            answers = [answer(connection) for connection in accepted]
        assert [(status, body["duration_sec"]) for status, body in answers] == [(200, 1.0)] * 16
        assert server.process.wait(40) == 0


def test_at_sigterm_under_load_no_request_is_lost(tiny_bundle: Path, tmp_path: Path, clip: bytes) -> None:
    """Clients go elsewhere once it is not ready, as a balancer has them do; until then each is answered."""
    with running(tmp_path, EMOTIONS_BUNDLE=str(tiny_bundle), EMOTIONS_DRAIN_DELAY_SEC="8") as server:
        statuses: list[int] = []

        def load() -> None:
            with httpx.Client(timeout=20) as client:
                while not leave.is_set():
                    statuses.append(client.post(f"{server.url}/v1/predict", content=clip).status_code)

        leave = threading.Event()
        clients = [threading.Thread(target=load, daemon=True) for _ in range(8)]
        for client in clients:
            client.start()
        _until(lambda: len(statuses) > 50)
        os.kill(server.process.pid, signal.SIGTERM)
        _until(lambda: httpx.get(f"{server.url}/readyz", timeout=5).status_code == 503, 6)
        leave.set()
        for client in clients:
            client.join()
        assert server.process.wait(40) == 0
        assert set(statuses) == {200}
        assert len(statuses) > 50
        assert server.log.read_text().count("route=/v1/predict status=200") == len(statuses)


def test_a_connection_that_was_idle_while_the_service_was_busy_loses_no_request(
    tiny_bundle: Path, tmp_path: Path, clip: bytes
) -> None:
    head = f"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(clip)}\r\n\r\n".encode()
    command = [sys.executable, "-m", "emotions.cli", "serve", "--bundle", str(tiny_bundle)]
    with (
        serving(command, tmp_path, port := free_port(), PYTHONPATH=str(REPOSITORY)) as server,
        socket.create_connection(("127.0.0.1", port), timeout=20) as connection,
    ):
        connection.sendall(head + clip)
        assert answer(connection)[0] == 200
        time.sleep(4.5)
        workers = psutil.Process(server.process.pid).children(recursive=True)
        for worker in workers:
            worker.suspend()
        time.sleep(1.5)  # BentoML closes what was idle for 5 s by now, and sees what came meanwhile too late
        connection.sendall(head + clip)
        for worker in workers:
            worker.resume()
        assert answer(connection)[0] == 200


def test_the_end_has_a_cap(tiny_bundle: Path, tmp_path: Path, clip: bytes) -> None:
    with running(tmp_path, EMOTIONS_BUNDLE=str(tiny_bundle), EMOTIONS_DRAIN_SEC="1", **PATIENT) as server:
        with half_sent(server, clip) as connection:
            _until(lambda: "emotions_in_flight 1.0" in httpx.get(f"{server.url}/metrics", timeout=5).text)
            began = time.monotonic()
            os.kill(server.process.pid, signal.SIGTERM)
            status, body = answer(connection)
        assert (status, body["error"]["code"]) == (503, "shutting_down")  # type: ignore[index]
        assert server.process.wait(20) == 0
        assert time.monotonic() - began < 20, "the default would be 25 s"


def test_a_killed_worker_comes_back_and_only_its_requests_fail(tiny_bundle: Path, tmp_path: Path, clip: bytes) -> None:
    with running(tmp_path, EMOTIONS_BUNDLE=str(tiny_bundle), EMOTIONS_WORKERS="2") as server:
        stop = threading.Event()
        outcomes: list[int] = []

        def load() -> None:
            while not stop.is_set():
                try:
                    outcomes.append(server.post(clip).status_code)
                except httpx.TransportError:
                    outcomes.append(0)

        clients = [threading.Thread(target=load, daemon=True) for _ in range(4)]
        for client in clients:
            client.start()
        _until(lambda: outcomes.count(200) > 20)
        first, second = _workers(server)
        first.kill()
        before = outcomes.count(200)
        time.sleep(2)
        _until(lambda: outcomes.count(200) > before + 20)
        stop.set()
        for client in clients:
            client.join()
        assert set(outcomes) <= {0, 200}
        assert outcomes.count(0) <= 4
        assert outcomes.count(200) > 20
        _until(lambda: len({*_workers(server)} - {first, second}) == 1)
        second.kill()
        _until(lambda: second not in _workers(server))
        wait_until_ready(server)
        assert server.post(clip).status_code == 200, "by the worker that came back, or by the one that came after"


def test_workers_end_when_their_supervisor_was_killed(tiny_bundle: Path, tmp_path: Path, clip: bytes) -> None:
    """With the requests that they have answered, and with their memory and their socket."""
    with running(tmp_path, EMOTIONS_BUNDLE=str(tiny_bundle), EMOTIONS_WORKERS="2", **PATIENT) as server:
        left = psutil.Process(server.process.pid).children(recursive=True)
        assert len(_workers(server)) == 2
        with half_sent(server, clip) as connection:
            _until(lambda: "emotions_in_flight 1.0" in httpx.get(f"{server.url}/metrics", timeout=5).text)
            server.process.kill()
            server.process.wait(10)
            time.sleep(1.5)
            connection.sendall(clip[-1:])
            status, body = answer(connection)
        assert status == 200, body
        _until(lambda: not any(map(_runs, left)), 90)
        assert not _listens(server)
        assert b"the process that started this worker is gone" in server.log.read_bytes()


def _listens(server: Server) -> bool:
    try:
        httpx.get(f"{server.url}/livez", timeout=5)
    except httpx.TransportError:
        return False
    return True


def _workers(server: Server) -> list[psutil.Process]:
    """The server's workers that run."""
    return [each for each in psutil.Process(server.process.pid).children() if _runs(each)]


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:  # it ended between the two
        return False


def _until(happened: object, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not happened():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_metrics_of_all_workers_keys_and_a_log_in_json(tiny_bundle: Path, tmp_path: Path, clip: bytes) -> None:
    """The metrics stay whatever another server of the same user does, and the Swagger page has all that it shows."""
    key = add_key(tmp_path / "keys", "tests")
    settings = {"EMOTIONS_API_KEYS_FILE": "keys", "EMOTIONS_LOG_FORMAT": "json", "EMOTIONS_TRACE_RATE": "1"}
    settings["BENTOML_HOME"] = str(tmp_path / "home")
    with running(tmp_path, EMOTIONS_BUNDLE=str(tiny_bundle), EMOTIONS_WORKERS="2", **settings) as server:
        assert server.post(clip).status_code == 401
        for _ in range(12):
            assert server.post(clip, headers={"authorization": f"Bearer {key}"}).status_code == 200
        ensure_prometheus_dir(str(tmp_path / "home" / "prometheus_multiproc_dir"))
        counted = 'emotions_requests_total{method="POST",route="/v1/predict",status="200"} 12.0'
        # Each worker writes its metrics a moment later.
        _until(lambda: counted in httpx.get(f"{server.url}/metrics", timeout=10).text)
        shown = httpx.get(f"{server.url}/metrics", timeout=10).text
        page = httpx.get(f"{server.url}/docs", timeout=10).text
        files = re.findall(r'(?:src|href)="\./([^"]+)"', page)
        assert [httpx.get(f"{server.url}/{file}", timeout=10).status_code for file in files] == [200] * 5
        docs = httpx.get(f"{server.url}/docs.json", timeout=10).json()
    assert counted in shown
    assert 'emotions_rejects_total{reason="unauthorized"} 1.0' in shown
    assert "emotions_audio_seconds_total 12.0" in shown
    assert "bentoml_" not in shown
    assert "google" not in page
    assert {"/predict", "/v1/predict", "/v1/predict/batch"} <= set(docs["paths"])
    requests = [json.loads(line) for line in server.log.read_text().splitlines()]
    requests.sort(key=lambda line: line["time"])  # the workers' lines come in groups
    answered = [line for line in requests if line.get("event") == "request" and line["route"] == "/v1/predict"]
    assert [line.get("key") for line in answered] == [None, *["tests"] * 12]
    assert key not in server.log.read_text()


@pytest.mark.parametrize("where", ["0.0.0.0", "::"])  # noqa: S104  # it must not come to that
def test_it_does_not_listen_beyond_this_machine_without_keys(tiny_bundle: Path, tmp_path: Path, where: str) -> None:
    arguments = ("--host", where, "--port", str(free_port()))
    process = bentoml_serve(*arguments, cwd=tmp_path, log=tmp_path / "log", EMOTIONS_BUNDLE=str(tiny_bundle))
    assert process.wait(120) != 0
    assert "EMOTIONS_API_KEYS_FILE" in (tmp_path / "log").read_text()
    assert "Traceback" not in (tmp_path / "log").read_text()
