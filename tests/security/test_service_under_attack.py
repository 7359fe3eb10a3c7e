"""A real service in 2 GB of memory under each hostile case, with a good request each 0.3 s beside it.

No good request may be lost, wrong or late, no answer may be the service's own fault, the worker stays the same and
gives the memory back. ``EMOTIONS_CASES`` names a part of the cases' names.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import psutil  # type: ignore[import-untyped]  # comes with bentoml
import pytest

from tests.conftest import Tone
from tests.security.corpus import CASES
from tests.servers import REPOSITORY, Server, running

pytestmark = pytest.mark.slow

LIMIT_BYTES = 2 << 30
BACK_WITHIN_BYTES = 150 << 20
EVERY_SEC = 0.3
SECONDS, SLOW_SECONDS = 4, 12
SLOW = ("a byte a second", "then a byte", "half-sent", "nothing", "idle", "do not read")
"""Cases that outlast the limits of time."""
CHOSEN = [name for name in CASES if os.environ.get("EMOTIONS_CASES", "") in name]


@dataclass
class Good:
    """Good requests in a thread of their own, and probes between them."""

    server: Server
    clip: bytes
    expected: dict[str, float]
    seconds: list[float] = field(default_factory=list)
    probes: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def run(self, stop: threading.Event) -> None:
        with httpx.Client(base_url=self.server.url, timeout=20) as client:
            while not stop.wait(EVERY_SEC):
                try:
                    self._ask(client)
                except httpx.HTTPError as error:
                    self.faults.append(repr(error))

    def _ask(self, client: httpx.Client) -> None:
        started = time.perf_counter()
        response = client.post("/v1/predict", content=self.clip)
        self.seconds.append(time.perf_counter() - started)
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
        for process in [self._parent, *self._parent.children(recursive=True)]:
            try:
                total += process.memory_info().rss
            except psutil.Error:
                continue
        return total

    def _watch(self) -> None:
        while not self._stop.wait(0.03):
            self.most = max(self.most, self.now())
            if self.most > LIMIT_BYTES:
                self._server.process.kill()
                return

    def close(self) -> None:
        self._stop.set()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("attacked"), EMOTIONS_BUNDLE=str(tiny_bundle)) as started:
        yield started


@pytest.fixture(scope="module")
def memory(server: Server, clip: bytes) -> Iterator[Memory]:
    for _ in range(20):
        server.post(clip)
    watched = Memory(server)
    yield watched
    watched.close()


@pytest.fixture(scope="module")
def at_start(memory: Memory) -> int:
    return memory.now()


@pytest.fixture(scope="module")
def clip(tone: Tone, write_clip: Path) -> bytes:
    return write_clip.read_bytes()


@pytest.fixture(scope="module")
def write_clip(tmp_path_factory: pytest.TempPathFactory, tone: Tone) -> Path:
    import soundfile

    path = tmp_path_factory.mktemp("clip") / "good.wav"
    soundfile.write(path, tone(3), 16_000)
    return path


def _worker(server: Server) -> list[int]:
    children = psutil.Process(server.process.pid).children()
    return [child.pid for child in children if "bentoml" in " ".join(child.cmdline())]


@pytest.mark.parametrize("name", CHOSEN)
def test_nothing_that_a_client_sends_stops_it(
    server: Server, memory: Memory, at_start: int, clip: bytes, name: str
) -> None:
    workers = _worker(server)
    assert workers
    expected = server.post(clip).json()["probabilities"]["emotion"]
    good, stop = Good(server, clip, expected), threading.Event()
    memory.most = 0
    log_start = server.log.stat().st_size
    seconds = SLOW_SECONDS if any(part in name for part in SLOW) else SECONDS
    port = server.url.rpartition(":")[2]
    command = [sys.executable, "-m", "tests.security.corpus", name, port, str(seconds)]
    attack = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    asking = threading.Thread(target=good.run, args=(stop,))
    asking.start()
    try:
        output, _ = attack.communicate(timeout=seconds + 60)
    finally:
        attack.kill()
        stop.set()
        asking.join()
    assert attack.returncode == 0
    seen = json.loads(output)
    late, probe = float(np.quantile(good.seconds, 0.99)), float(np.quantile(good.probes, 0.95))
    after = _settled(memory, at_start)
    print(
        f"\n{name:45} good {len(good.seconds):3} p99 {late:6.3f} s  /livez p95 {1000 * probe:4.0f} ms  "
        f"most {memory.most >> 20:5} MiB  after {(after - at_start) >> 20:+5} MiB  {seen} {good.faults[:2] or ''}",
        flush=True,
    )
    assert not good.faults
    assert late < 1
    assert seen
    assert not {status for status in seen if status.startswith("5")} - {"503", "507"}, seen
    assert _worker(server) == workers
    assert memory.most < LIMIT_BYTES
    assert after < at_start + BACK_WITHIN_BYTES
    with server.log.open("rb") as log:
        log.seek(log_start)
        assert b"Traceback" not in log.read()


def _settled(memory: Memory, at_start: int) -> int:
    """Bytes of memory once the attack is over, after a moment at most."""
    until = time.monotonic() + 5
    while memory.now() > at_start + BACK_WITHIN_BYTES // 2 and time.monotonic() < until:
        time.sleep(0.2)
    return memory.now()
