"""A real service in 2 GB of memory under each hostile case, with a good request each 0.3 s beside it.

No good request may be lost, wrong or late, no answer may be the service's own fault, the worker stays the same and
gives the memory back. A few cases by default; ``make attack`` takes all, ``EMOTIONS_CASES`` those with a text in their
names.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Tone
from tests.security.corpus import CASES
from tests.security.watched_service import BACK_WITHIN_BYTES, LIMIT_BYTES, Good, Memory, workers
from tests.servers import REPOSITORY, Server, running

pytestmark = [pytest.mark.slow, pytest.mark.alone]

SECONDS, SLOW_SECONDS = 4, 16
SLOW = ("a byte a second", "then a byte", "half-sent", "nothing", "idle", "do not read")
"""Cases that outlast the limits of time."""
BY_DEFAULT = {
    "header lines without end",
    "half-sent headers",
    "a byte a second",
    "shape [60000000, 0]",
    "shape [10000000, 0]",
    "shape [1099511627776, 0]",
    "3 MB of empty inputs",
    "32 MB of empty inputs",
    "300,000 outputs",
    "huge samples",
    "M4A that claims 85 million samples",
    "Vorbis of 64 channels, 300 s of silence",
}
ASKED = os.environ.get("EMOTIONS_CASES")
CHOSEN = [name for name in CASES if (name in BY_DEFAULT if ASKED is None else ASKED in name)]


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


@pytest.mark.parametrize("name", CHOSEN)
def test_nothing_that_a_client_sends_stops_it(
    server: Server, memory: Memory, at_start: int, clip: bytes, name: str
) -> None:
    before = workers(server)
    assert before
    expected = server.post(clip).json()["probabilities"]["emotion"]
    good = Good(server, clip, expected)
    memory.most = 0
    log_start = server.log.stat().st_size
    seconds = SLOW_SECONDS if any(part in name for part in SLOW) else SECONDS
    port = server.url.rpartition(":")[2]
    command = [sys.executable, "-m", "tests.security.corpus", name, port, str(seconds)]
    attack = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    try:
        with good.asked():
            output, _ = attack.communicate(timeout=seconds + 60)
    finally:
        attack.kill()
    assert attack.returncode == 0
    seen = json.loads(output)
    late, probe = float(np.quantile(good.seconds, 0.99)), float(np.quantile(good.probes, 0.95))
    after = memory.settled(at_start)
    print(
        f"\n{name:45} good {len(good.seconds):3} p99 {late:6.3f} s  /livez p95 {1000 * probe:4.0f} ms  "
        f"most {memory.most >> 20:5} MiB  after {(after - at_start) >> 20:+5} MiB  {seen} {good.faults[:2] or ''}",
        flush=True,
    )
    assert not good.faults
    assert late < 1
    assert seen
    assert not {status for status in seen if status.startswith("5")} - {"503", "507"}, seen
    assert workers(server) == before
    assert memory.most < LIMIT_BYTES
    assert after < at_start + BACK_WITHIN_BYTES
    with server.log.open("rb") as log:
        log.seek(log_start)
        assert b"Traceback" not in log.read()
