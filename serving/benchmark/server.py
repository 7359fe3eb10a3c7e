"""The service as a process of its own: started on a free port of the loopback interface, and stopped."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from emotions.errors import EmotionsError
from serving.serve_command import TARGET

_READY_SEC = 120.0
_STOP_SEC = 15.0


@dataclass(frozen=True)
class Server:
    """A running service."""

    process: subprocess.Popen[bytes]
    port: int

    def cpu_sec(self) -> float:
        """CPU seconds that the service and its workers have used."""
        parent = psutil.Process(self.process.pid)
        times = [process.cpu_times() for process in (parent, *parent.children(recursive=True))]
        return float(sum(each.user + each.system for each in times))

    def memory_bytes(self) -> int:
        """Memory that the service and its workers hold."""
        parent = psutil.Process(self.process.pid)
        return int(sum(each.memory_info().rss for each in (parent, *parent.children(recursive=True))))


@contextlib.contextmanager
def running(settings: Mapping[str, str], log: Path, target: str = TARGET) -> Iterator[Server]:
    """Run the service until the block ends.

    Args:
        settings: the service's settings, by variable; none is taken from the environment.
        log: file for what it prints.
        target: what ``bentoml serve`` is told to serve.

    Raises:
        EmotionsError: it did not get ready.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("EMOTIONS_", "BENTOML_"))}
    port = _free_port()
    command = [sys.executable, "-m", "bentoml", "serve", target, "--host", "127.0.0.1", "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env={**inherited, "BENTOML_DO_NOT_TRACK": "True", **settings},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_ready(process, port, log)
        yield Server(process, port)
    finally:
        _stop(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _READY_SEC
    while time.monotonic() < deadline and process.poll() is None:
        if _ready(port):
            return
        time.sleep(0.1)
    last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
    raise EmotionsError(f"the service did not get ready: {''.join(last) or 'it printed nothing'}")


def _ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the service with its workers: they share a process group of their own."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SEC)
            return
