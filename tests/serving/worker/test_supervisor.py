"""The supervisor of ``emotions serve``: real processes, as signals and forks are what it is made of."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.servers import REPOSITORY, free_port, serving

EMOTIONS = [sys.executable, "-m", "emotions.cli", "serve"]
SCRIPT = """
import os, signal, sys, time
from serving.worker import supervisor
supervisor._PAUSE_SEC = 0.05
def work(number):
    with open(f"{sys.argv[1]}/{number}.{os.getpid()}", "w"):
        pass
    if sys.argv[2] == "ends" and len(os.listdir(sys.argv[1])) < 3:
        sys.exit(7)
    time.sleep(60)
before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
supervisor.Supervisor(work, 2).run()
print("over", os.getpid())
"""


@contextlib.contextmanager
def supervised(folder: Path, kind: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", SCRIPT, str(folder), kind]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()
            for worker in folder.iterdir():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(worker.suffix[1:]), signal.SIGKILL)


def workers(folder: Path, count: int) -> list[Path]:
    deadline = time.monotonic() + 60
    while len(found := [*folder.iterdir()]) < count:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return sorted(found)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_workers_and_then_the_supervisor(tmp_path: Path, number: signal.Signals) -> None:
    with supervised(tmp_path, "stays") as process:
        started = workers(tmp_path, 2)
        assert [worker.stem for worker in started] == ["1", "2"]
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, f"over {process.pid}\n")  # no worker came as far as that
    assert not any(Path(f"/proc/{worker.suffix[1:]}").exists() for worker in started)


def test_a_worker_that_ends_is_replaced_under_its_number(tmp_path: Path) -> None:
    with supervised(tmp_path, "ends") as process:
        assert {worker.stem for worker in workers(tmp_path, 4)} == {"1", "2"}
        process.terminate()
        _, said = process.communicate(timeout=60)
    assert "ended with status 7: another is started" in said


def _children(process: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def _is_counted(url: str) -> bool:
    """Whether metrics tell of a request to classify."""
    lines = httpx.get(f"{url}/metrics", timeout=20).text.splitlines()
    return any(line.startswith("emotions_requests_total") and "predict" in line for line in lines)


def test_the_service_outlives_its_worker_and_ends_on_sigterm(tiny_bundle: Path, tmp_path: Path) -> None:
    port = free_port()
    with serving([*EMOTIONS, "--bundle", str(tiny_bundle)], tmp_path, port, PYTHONPATH=str(REPOSITORY)) as server:
        (worker,) = _children(server.process.pid)
        assert server.post(b"no recording").status_code in {415, 422}
        deadline = time.monotonic() + 60
        while not _is_counted(server.url):  # figures are written a moment after the request
            assert time.monotonic() < deadline
            time.sleep(0.1)
        os.kill(worker, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while _children(server.process.pid) in ([worker], []) or not _answers(server.url):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert _is_counted(server.url)
        server.process.terminate()
        assert server.process.wait(60) == 0
    log = server.log.read_text()
    assert "ended with status -9: another is started" in log
    assert "[entry_service:EmotionService:1]" in log


def test_a_bundle_that_does_not_load_is_refused_in_one_line(tiny_bundle: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "EMOTIONS_LOAD_CHECK_GB": "none"}
    command = [*EMOTIONS, "--bundle", str(tiny_bundle), "--port", str(free_port())]
    environment["EMOTIONS_CACHE"] = str(tmp_path / "cache")  # where nothing is remembered as checked
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "EMOTIONS_LOAD_CHECK_GB='none': must be a number" in done.stderr
    assert len(done.stderr.splitlines()) == 1
