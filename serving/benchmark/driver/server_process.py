"""The service as a process of its own: started on a free port of the loopback interface, and stopped."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from emotions.errors import EmotionsError
from serving.serve_command import SERVE, TARGET

_READY_SEC = 120.0
_STOP_SEC = 15.0
_POLL_SEC = 0.05
_SCRAPE_SEC = 60.0
_WATCH_SEC = 0.5
_WATCH = f"read -r _; kill -TERM -$0; sleep {_STOP_SEC:.0f}; kill -KILL -$0"


@dataclass(frozen=True)
class Server:
    """A running service: its process, its port, and the ``time.perf_counter`` at which it said that it was ready."""

    process: subprocess.Popen[bytes]
    port: int
    ready: float = 0.0

    def cpu_sec(self) -> float:
        """CPU seconds that the service and its workers have used."""
        return float(sum(self._of_each(lambda process: float(sum(process.cpu_times()[:2])))))  # user and system

    def memory_bytes(self) -> int:
        """Memory that the service and its workers hold."""
        return int(sum(self._of_each(lambda process: float(process.memory_info().rss))))

    def _of_each(self, figure: Callable[[psutil.Process], float]) -> Iterator[float]:
        """A figure of each process of the service, but for decoders that end meanwhile."""
        parent = psutil.Process(self.process.pid)
        for process in (parent, *parent.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                yield figure(process)

    def histogram(self, name: str) -> dict[float, float]:
        """Cumulative counts of a histogram without labels on ``/metrics``, by the upper edges; empty without one."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_SCRAPE_SEC)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        found = re.findall(rf'^{name}_bucket\{{le="([^"]+)"\}} (\S+)$', text, re.M)
        return {float(edge): float(count) for edge, count in found}


@contextlib.contextmanager
def memory_watched(server: Server) -> Iterator[list[int]]:
    """Bytes that a service holds, twice a second until the block ends, in the list that comes."""
    memory, over = [server.memory_bytes()], threading.Event()

    def watch() -> None:
        while not over.wait(_WATCH_SEC):
            memory.append(server.memory_bytes())

    watcher = threading.Thread(target=watch, name="memory", daemon=True)
    watcher.start()
    try:
        yield memory
    finally:
        over.set()
        watcher.join()


def running(settings: Mapping[str, str], log: Path, target: str = TARGET) -> contextlib.AbstractContextManager[Server]:
    """Run the service until the block ends; ``EmotionsError`` where it does not get ready.

    Args:
        settings: the service's settings, by variable; none is taken from the environment.
        log: file for what it prints.
        target: what ``bentoml serve`` serves.
    """
    command = [*SERVE, target, "--host", "127.0.0.1", "--port"]
    return started(command, {"BENTOML_DO_NOT_TRACK": "True", **settings}, log, "/readyz")


@contextlib.contextmanager
def started(command: Sequence[str], settings: Mapping[str, str], log: Path, ready: str) -> Iterator[Server]:
    """Run a server until the block ends; ``EmotionsError`` where it does not get ready.

    Args:
        command: what starts it; a free port is put at its end.
        settings: variables of its environment, beside those of this process that are no settings of ours.
        log: file for what it prints.
        ready: path that answers 200 when it is ready.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("EMOTIONS_", "BENTOML_"))}
    port = free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, str(port)],
            env={**inherited, **settings},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        with _ends_with_us(process.pid):
            _wait_until_ready(process, port, ready, log)
            yield Server(process, port, time.perf_counter())
    finally:
        _stop(process)


@contextlib.contextmanager
def _ends_with_us(group: int) -> Iterator[None]:
    """End a process group also where this process is killed: another one waits for a pipe that closes with this one."""
    command = ["/bin/sh", "-c", _WATCH, str(group)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as watch:
        try:
            yield
        finally:
            watch.kill()


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, path: str, log: Path) -> None:
    deadline = time.monotonic() + _READY_SEC
    while time.monotonic() < deadline and process.poll() is None:
        if _ready(port, path):
            return
        time.sleep(_POLL_SEC)
    last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
    raise EmotionsError(f"the service did not get ready: {''.join(last) or 'it printed nothing'}")


def _ready(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server, which ends its workers in its own order, and kill what is left of it after a while."""
    workers = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_SEC)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for worker in workers:
        with contextlib.suppress(psutil.NoSuchProcess):
            worker.kill()
    process.wait(_STOP_SEC)
