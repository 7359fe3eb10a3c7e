"""A real service whose temporary folder is a small file system that is full."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import soundfile

from tests.conftest import Tone
from tests.servers import running

pytestmark = pytest.mark.slow


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("nothing may be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_uploads_are_refused_and_the_worker_goes_on(
    small_disk: Path, tmp_path: Path, tiny_bundle: Path, tone: Tone
) -> None:
    clip = tmp_path / "clip.wav"
    soundfile.write(clip, tone(1), 16_000)
    large = bytes(8 << 20)
    with running(tmp_path, EMOTIONS_BUNDLE=str(tiny_bundle), TMPDIR=str(small_disk)) as server:
        before = server.post(clip.read_bytes()).json()["probabilities"]
        (small_disk / "filler").write_bytes(bytes(1 << 20))
        there = {*small_disk.iterdir()}
        for _ in range(5):
            refused = [
                server.post(large),
                httpx.post(f"{server.url}/v1/predict", files={"file": large}, timeout=20),
                httpx.post(f"{server.url}/v1/predict/batch", files=[("file", ("a.wav", large))] * 2, timeout=20),
            ]
            assert [(each.status_code, each.json()["error"]["code"]) for each in refused] == [(507, "no_space")] * 3
            assert server.post(clip.read_bytes()).json()["probabilities"] == before
        assert "Traceback" not in server.log.read_text()
        assert {*small_disk.iterdir()} == there
        (small_disk / "filler").unlink()
        assert server.post(clip.read_bytes() + bytes(1 << 19)).status_code == 200
