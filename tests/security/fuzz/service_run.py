"""One real service in 2 GB of memory under fuzzed bodies, with a good request each 0.3 s beside them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.conftest import make_tiny_bundle
from tests.security.fuzz.attack import Client, fault_of
from tests.security.fuzz.seeds import good_wav
from tests.security.watched_service import BACK_WITHIN_BYTES, LIMIT_BYTES, Good, Memory, workers
from tests.servers import REPOSITORY, Server, running

_MOST_LATE_SEC = 1.0


@dataclass(frozen=True)
class Figures:
    """What a run showed.

    Attributes:
        lines: for people.
        faults: what was not as it must be; none where all is well.
    """

    lines: tuple[str, ...]
    faults: tuple[str, ...]


def run_service(counts: dict[str, int], seed: str, folder: Path, kept: Path) -> Figures:
    """Start a service, send it so many requests of each kind, and say how it fared.

    Args:
        counts: kind -> how many.
        seed: of the run.
        folder: an empty one, for the service.
        kept: takes the requests that fail.
    """
    temporary = folder / "tmp"
    temporary.mkdir()
    bundle = make_tiny_bundle(folder / "bundle")
    there = _files(folder)
    with running(folder, EMOTIONS_BUNDLE=str(bundle), TMPDIR=str(temporary)) as server:
        figures = _attacked(server, counts, seed, kept)
        left = sorted(_files(folder) - there - {server.log})
        log = server.log.read_text(errors="replace")
    faults = list(figures.faults)
    faults += [f"files are left: {', '.join(map(str, left[:5]))}"] if left else []
    faults += ["the log of the service has a traceback"] if "Traceback" in log else []
    if "Traceback" in log:
        kept.mkdir(parents=True, exist_ok=True)
        (kept / f"service-{seed}.log").write_text(log)
    return Figures(figures.lines, tuple(faults))


def replay(path: Path, folder: Path) -> Figures:
    """Send one kept request, a few times, to a service of its own.

    Args:
        path: the ``.http`` file.
        folder: an empty one, for the service.
    """
    content = path.read_bytes()
    with running(folder, EMOTIONS_BUNDLE=str(make_tiny_bundle(folder / "bundle"))) as server:
        client, faults, lines = Client(int(server.url.rpartition(":")[2])), [], []
        for _ in range(3):
            answer = client.ask(content)
            fault = "no answer" if answer is None else fault_of(content.split(b" ")[1].decode(), *answer)
            lines.append(f"{path.name}: {fault or answer}"[:500])
            faults += [fault] if fault else []
        log = server.log.read_text(errors="replace")
        if "Traceback" in log:
            lines.append(log[log.index("Traceback") - 200 :][:6000])
    return Figures(tuple(lines), tuple(faults))


def _attacked(server: Server, counts: dict[str, int], seed: str, kept: Path) -> Figures:
    clip = good_wav()
    for _ in range(20):
        expected = server.post(clip).json()["probabilities"]["emotion"]
    before, memory, good = workers(server), Memory(server), Good(server, clip, expected)
    at_start, lines, faults = memory.now(), [], []
    with good.asked():
        for kind, count in counts.items():
            started = time.monotonic()
            seen = _attack(server, kind, count, seed, kept)
            took = time.monotonic() - started
            lines.append(_line(kind, count, took, seen))
            faults += seen["faults"]
    after = memory.settled(at_start)
    memory.close()
    late, worst = float(np.quantile(good.seconds, 0.99)), max(good.seconds)
    same = workers(server) == before
    lines += [
        f"good requests {len(good.seconds)}, lost or wrong {len(good.faults)}, p99 {late:.3f} s, worst {worst:.3f} s; "
        f"/livez worst {max(good.probes):.3f} s",
        f"worker {before}: {'the same' if same else workers(server)}; memory {at_start >> 20} MiB at the start, "
        f"{memory.most >> 20} at most, {after >> 20} at the end",
    ]
    faults += [f"a good request: {fault}" for fault in good.faults]
    faults += [f"p99 of good requests is {late:.3f} s"] if late > _MOST_LATE_SEC else []
    faults += [] if same else ["the worker is another"]
    faults += ["more memory than 2 GiB"] if memory.most > LIMIT_BYTES else []
    faults += ["memory did not come back"] if after > at_start + BACK_WITHIN_BYTES else []
    return Figures(tuple(lines), tuple(faults))


def _attack(server: Server, kind: str, count: int, seed: str, kept: Path) -> dict[str, Any]:
    port = server.url.rpartition(":")[2]
    command = [sys.executable, "-m", "tests.security.fuzz.attack", kind, port, seed, "0", str(count), str(kept)]
    done = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _line(kind: str, count: int, took: float, seen: dict[str, Any]) -> str:
    statuses = ", ".join(f"{status}: {number}" for status, number in sorted(seen["statuses"].items()))
    own = sum(number for status, number in seen["statuses"].items() if status.startswith("5"))
    return (
        f"{kind}: {count} in {took:.0f} s ({count / took:.0f} a second); {statuses}; 5xx {own}; "
        f"slowest {seen['slowest']:.2f} s"
    )


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}
