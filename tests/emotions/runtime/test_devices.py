"""GPUs are counted as CUDA counts them."""

from __future__ import annotations

from pathlib import Path

import pytest

from emotions.runtime import devices


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with four GPUs."""
    monkeypatch.setattr(devices, "cuda_usable", lambda: True)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for number in range(4):
        (tmp_path / f"nvidia{number}").touch()
    (tmp_path / "nvidiactl").touch()
    return tmp_path


def test_device_files_count(driver: Path) -> None:
    assert devices.gpu_count(driver) == 4
    assert devices.gpu_count(driver / "none") == 1


@pytest.mark.parametrize(
    ("named", "found"), [("0", 1), ("2,0", 2), (" 1 , 3", 2), ("GPU-3f2a", 1), ("", 0), ("-1", 0), ("0,-1,2", 1)]
)
def test_those_that_are_visible_count(driver: Path, monkeypatch: pytest.MonkeyPatch, named: str, found: int) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert devices.gpu_count(driver) == found


def test_none_counts_without_the_provider(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    (tmp_path / "nvidia0").touch()
    assert devices.gpu_count(tmp_path) == 0
