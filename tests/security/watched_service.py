"""A service that is attacked: its memory, its workers, and good requests that must not suffer."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import psutil  # type: ignore[import-untyped]  # comes with bentoml
import pytest

from tests.pauses import Pauses, watched_pauses
from tests.servers import Server

LIMIT_BYTES = 2 << 30
BACK_WITHIN_BYTES = 150 << 20
EVERY_SEC = 0.3


@dataclass
class Good:
    """Good requests in a thread of their own, and probes between them."""

    server: Server
    clip: bytes
    expected: dict[str, float]
    moments: list[tuple[float, float]] = field(default_factory=list)
    probes: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    pauses: Pauses = field(default_factory=Pauses)

    @property
    def seconds(self) -> list[float]:
        """How long each good request took."""
        return [self.pauses.seconds_without(*each) for each in self.moments]

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Ask until the block ends."""
        stop = threading.Event()
        thread = threading.Thread(target=self._run, args=(stop,))
        with watched_pauses() as self.pauses:
            thread.start()
            try:
                yield
            finally:
                stop.set()
                thread.join()

    def _run(self, stop: threading.Event) -> None:
        with httpx.Client(base_url=self.server.url, timeout=20) as client:
            while not stop.wait(EVERY_SEC):
                try:
                    self._ask(client)
                except httpx.HTTPError as error:
                    self.faults.append(repr(error))

    def _ask(self, client: httpx.Client) -> None:
        started = time.perf_counter()
        response = client.post("/v1/predict", content=self.clip)
        self.moments.append((started, time.perf_counter()))
        if response.status_code != 200:
            self.faults.append(f"{response.status_code} {response.text[:100]}")
        elif response.json()["probabilities"]["emotion"] != pytest.approx(self.expected, abs=1e-5):
            self.faults.append("another answer")
        started = time.perf_counter()
        if client.get("/livez").status_code != 200:
            self.faults.append("not alive")
        self.probes.append(time.perf_counter() - started)


class Memory:
    """The memory of a server and its workers, watched in a thread; ends the server above the limit."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._parent = psutil.Process(server.process.pid)
        self.most = 0
        self._stop = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def now(self) -> int:
        """Resident bytes of all its processes that are not shared with their parent's files."""
        total = 0
        with contextlib.suppress(psutil.NoSuchProcess):  # the server has ended
            for process in [self._parent, *self._parent.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    total += process.memory_info().rss
        return total

    def settled(self, at_start: int) -> int:
        """Bytes of memory once the attack is over, after a moment at most."""
        until = time.monotonic() + 15
        while self.now() > at_start + BACK_WITHIN_BYTES // 2 and time.monotonic() < until:
            time.sleep(0.2)
        return self.now()

    def _watch(self) -> None:
        while not self._stop.wait(0.03):
            self.most = max(self.most, self.now())
            if self.most > LIMIT_BYTES:
                self._server.process.kill()
                return

    def close(self) -> None:
        self._stop.set()


def workers(server: Server) -> list[int]:
    """Process ids of the server's workers."""
    children = psutil.Process(server.process.pid).children()
    return [child.pid for child in children if "bentoml" in " ".join(child.cmdline())]
