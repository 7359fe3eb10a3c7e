"""``make fuzz``: every target, each in a process of its own, then a service in 2 GB of memory.

By environment variables: SEED, TARGET (names with commas between; ``service`` is the last part), CASES of each target,
BODIES and JSON for the service, KEPT (folder for what fails). To see one again: SEED, TARGET and CASE, or REPLAY with
what was kept, a folder or an ``.http`` file.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.security.fuzz.all_targets import TARGETS
from tests.security.fuzz.service_run import replay, run_service
from tests.security.fuzz.target import Files, examine, files_of
from tests.servers import REPOSITORY

_SERVICE = "service"
_MEMORY_KIB = 4 << 20


def main() -> int:
    """Fuzz, and give the exit code: 1 where something failed."""
    seed = os.environ.get("SEED") or str(secrets.randbelow(1 << 32))
    kept = Path(os.environ.get("KEPT") or "fuzz-failures").absolute()
    names = (os.environ.get("TARGET") or ",".join([*TARGETS, _SERVICE])).split(",")
    if again := os.environ.get("REPLAY"):
        return _replayed(Path(again))
    if case := os.environ.get("CASE"):
        return _examined(names[0], files_of(TARGETS[names[0]], names[0], seed, int(case)))
    print(f"seed {seed}; SEED={seed} makes the same cases again; what fails is kept in {kept.name}", flush=True)
    count = int(os.environ.get("CASES") or 1000)
    faults = [fault for name in names if name in TARGETS for fault in _of_target(name, seed, count, kept)]
    if _SERVICE in names:
        counts = {"bodies": int(os.environ.get("BODIES") or 30_000), "json": int(os.environ.get("JSON") or 3_000)}
        with tempfile.TemporaryDirectory() as folder:
            figures = run_service(counts, seed, Path(folder), kept)
        print(*figures.lines, sep="\n")
        faults += figures.faults
    print(*(f"FAULT {fault}" for fault in faults), f"{len(faults)} faults", sep="\n")
    return bool(faults)


def _of_target(name: str, seed: str, count: int, kept: Path) -> list[str]:
    """The faults of a target's cases; a case that kills its process is one, and the next process goes on behind it."""
    started, first, faults = time.monotonic(), 0, []
    seen: Counter[str] = Counter()
    while first < count:
        last = first
        for number, found in _cases(name, seed, first, count):
            last = number
            if found is not None:
                first = number + 1
                seen[found.partition(" ")[0]] += 1
                if found.startswith("fault"):
                    faults.append(_kept(kept, name, seed, number, found))
        if first < count:
            faults.append(_kept(kept, name, seed, last, "its process died"))
            first = last + 1
    took = time.monotonic() - started
    outcomes = ", ".join(f"{outcome}: {number}" for outcome, number in sorted(seen.items()))
    print(f"{name}: {count} in {took:.0f} s; {outcomes}; faults {len(faults)}", flush=True)
    return faults


def _cases(name: str, seed: str, first: int, count: int) -> Iterator[tuple[int, str | None]]:
    """Number and outcome of each case of a process, before it with None: what it died of is the last one."""
    command = [sys.executable, "-W", "error", "-m", "tests.security.fuzz.cases", name, seed, str(first), str(count)]
    limited = ["bash", "-c", f'ulimit -d {_MEMORY_KIB}; exec "$@"', "bash", *command]
    with subprocess.Popen(limited, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            number, _, outcome = line.rstrip("\n").partition("\t")
            if number.isdecimal():
                yield int(number), outcome or None


def _kept(kept: Path, name: str, seed: str, number: int, fault: str) -> str:
    folder = kept / f"{name}-{seed}-{number}"
    for path, content in files_of(TARGETS[name], name, seed, number).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return f"{folder.name}: {fault}"


def _replayed(path: Path) -> int:
    if path.is_dir():
        files = {each.relative_to(path).as_posix(): each.read_bytes() for each in path.rglob("*") if each.is_file()}
        return _examined(path.name.split("-")[0], files)
    with tempfile.TemporaryDirectory() as folder:
        figures = replay(path, Path(folder))
    print(*figures.lines, sep="\n")
    return bool(figures.faults)


def _examined(name: str, files: Files) -> int:
    print(*(f"{path}: {len(content)} bytes" for path, content in files.items()), sep="\n")
    print(examine(TARGETS[name], files))  # what is wrong has its traceback
    return 0


if __name__ == "__main__":
    sys.exit(main())
