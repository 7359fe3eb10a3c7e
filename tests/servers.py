"""Real ``bentoml serve`` processes on loopback, for journeys."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

__all__ = ["REPOSITORY", "Server", "bentoml_serve", "free_port", "running", "serving", "wait_until_ready"]

REPOSITORY = Path(__file__).parents[1]
_PORTS = range(20_000, 32_000)
"""Below those that the system gives to whoever asks for any, so that none takes one before its server does."""


def free_port() -> int:
    """A port of the loopback interface that nobody listens on, and that no other process of the tests is given."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    own = _PORTS[worker :: int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))]
    while True:
        port = random.SystemRandom().choice(own)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@dataclass
class Server:
    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def post(self, content: bytes, **options: object) -> httpx.Response:
        return httpx.post(f"{self.url}/v1/predict", content=content, timeout=20, **options)  # type: ignore[arg-type]


def start(command: Sequence[str], cwd: Path, log: Path, **environment: str) -> subprocess.Popen[bytes]:
    """Start a server in a process group of its own; no ``EMOTIONS_*`` or ``BENTOML_*`` leaks into it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("EMOTIONS_", "BENTOML_"))}
    variables = {**clean, "EMOTIONS_DEVICE": "cpu", **environment}
    with log.open("wb") as output:
        return subprocess.Popen(
            command, cwd=cwd, env=variables, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )


def bentoml_serve(*arguments: str, cwd: Path, log: Path, **environment: str) -> subprocess.Popen[bytes]:
    """Start ``bentoml serve`` on the repository's service."""
    command = [sys.executable, "-m", "bentoml", "serve", "serving.service:EmotionService", *arguments]
    return start(command, cwd, log, **{"PYTHONPATH": str(REPOSITORY), **environment})


@contextlib.contextmanager
def running(cwd: Path, **environment: str) -> Iterator[Server]:
    """A ``bentoml serve`` that is ready."""
    port, log = free_port(), cwd / "server.log"
    process = bentoml_serve("--port", str(port), cwd=cwd, log=log, **environment)
    with _ready(Server(process, f"http://127.0.0.1:{port}", log)) as server:
        yield server


@contextlib.contextmanager
def serving(command: Sequence[str], cwd: Path, port: int, **environment: str) -> Iterator[Server]:
    """Any command that takes ``--port``, once it is ready."""
    log = cwd / "server.log"
    process = start([*command, "--port", str(port)], cwd, log, **environment)
    with _ready(Server(process, f"http://127.0.0.1:{port}", log)) as server:
        yield server


@contextlib.contextmanager
def _ready(server: Server) -> Iterator[Server]:
    try:
        wait_until_ready(server)
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.process.pid, signal.SIGTERM)
        try:
            server.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(server.process.pid, signal.SIGKILL)
            server.process.wait(5)


def wait_until_ready(server: Server) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and server.process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{server.url}/readyz", timeout=5).status_code == 200:
                return
        time.sleep(0.1)
    pytest.fail(f"the server did not get ready:\n{server.log.read_text()}")
