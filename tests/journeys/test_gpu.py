"""A real ``bentoml serve`` on a GPU that fails at the start: it ends with one line, or lives and says why."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest

from tests.conftest import Tone, WriteWav
from tests.servers import REPOSITORY, bentoml_serve, free_port, running, wait_until_ready

pytestmark = pytest.mark.slow
SITE = "from tests.fake_cuda import install_by_environment\n\ninstall_by_environment()\n"


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """Variables of a server whose processes have a made-up GPU."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SITE)
    paths = f"{tmp_path / 'site'}:{REPOSITORY}"
    return {"PYTHONPATH": paths, "FAKE_CUDA_FOLDER": str(tmp_path), "EMOTIONS_DEVICE": "cuda"}


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("driver", "its driver 550.54.15 is too old"), ("run memory 0", "its memory is too small for the model")],
)
def test_a_gpu_that_cannot_be_used_ends_the_start_with_one_line(
    machine: dict[str, str], half_bundle: Path, tmp_path: Path, fault: str, reason: str
) -> None:
    log = tmp_path / "server.log"
    variables = {**machine, "EMOTIONS_BUNDLE": str(half_bundle), "FAKE_CUDA": fault}
    process = bentoml_serve("--port", str(free_port()), cwd=tmp_path, log=log, **variables)
    assert process.wait(120) == 2
    written = log.read_text()
    assert reason in written
    assert "Traceback" not in written
    assert "EP Error" not in written


def test_memory_that_is_gone_at_warm_up_leaves_a_worker_that_says_so(
    machine: dict[str, str], half_bundle: Path, tmp_path: Path
) -> None:
    log, port = tmp_path / "server.log", free_port()
    variables = {**machine, "EMOTIONS_BUNDLE": str(half_bundle), "FAKE_CUDA": "warm-up memory"}
    process = bentoml_serve("--port", str(port), cwd=tmp_path, log=log, **variables)
    try:
        deadline = time.monotonic() + 120
        while "cannot load the bundle" not in log.read_text() and time.monotonic() < deadline:
            time.sleep(0.2)
        answer = httpx.post(f"http://127.0.0.1:{port}/v1/predict", content=b"x" * 1000, timeout=20)
        assert answer.status_code == 503
        assert "the device lacks memory for a window" in answer.json()["error"]["message"]
        assert httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=20).status_code == 503
        time.sleep(3)
        assert process.poll() is None
        assert log.read_text().count("cannot load the bundle") == 1  # it was not started again
    finally:
        process.terminate()
        process.wait(30)


def test_a_worker_whose_card_is_lost_ends_and_another_takes_its_place(
    machine: dict[str, str], half_bundle: Path, tmp_path: Path, write_wav: WriteWav, tone: Tone
) -> None:
    lost, clip = tmp_path / "lost", write_wav(tmp_path / "a.wav", tone(1.2)).read_bytes()
    variables = {"EMOTIONS_BUNDLE": str(half_bundle), "FAKE_CUDA": "", "EMOTIONS_DRAIN_DELAY_SEC": "0"}
    with running(tmp_path, **machine, **variables) as server:
        assert server.post(clip).status_code == 200
        lost.touch()
        refused = server.post(clip)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "device_lost")
        lost.unlink()
        deadline = time.monotonic() + 60
        while server.log.read_text().count("serving <Predictor") < 2 and time.monotonic() < deadline:
            time.sleep(0.2)
        wait_until_ready(server)
        assert server.post(clip).status_code == 200
        assert server.process.poll() is None
        written = server.log.read_text()
    assert "the GPU was lost while it computed (an illegal memory access was encountered)" in written
    assert "this worker ends" in written
