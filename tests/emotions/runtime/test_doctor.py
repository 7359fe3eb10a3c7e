from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from emotions import cli
from tests.fake_cuda import FakeCuda


def doctor(capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, dict[str, object]]]:
    code = cli.run(["doctor", "--json"])
    return code, {row["name"]: row for row in json.loads(capsys.readouterr().out)}


def test_every_part_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    cli.run(["doctor"])
    lines = capsys.readouterr().out.splitlines()
    for name in ("Python", "packages", "ONNX Runtime", "GPU", "decoders", "cache", "disk", "microphone", "port"):
        assert any(line[7:].startswith(name) for line in lines)


def test_a_taken_port_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            other.bind(("127.0.0.1", 3000))
            other.listen()
        except OSError:
            pass  # taken by another program: the same to the command
        code, found = doctor(capsys)
    assert code == 1
    assert found["port"]["ok"] is False
    assert "--port" in str(found["port"]["remedy"])


def test_a_package_that_does_not_fit_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emotions.runtime.doctor.version", lambda package: "1.0" if package == "numpy" else "9999")
    code, found = doctor(capsys)
    assert code == 1
    assert "numpy 1.0 is not" in str(found["packages"]["found"])


@pytest.mark.parametrize(
    ("fault", "found", "remedy"),
    [
        ("driver", "its driver 550.54.15 is too old", "update the driver to 580 or newer"),
        ("library", "a library is missing (libcudnn.so.9", "brings CUDA and cuDNN"),
        ("old card", "is too old for onnxruntime-gpu", "or install an onnxruntime-gpu that is built for it"),
        ("new card", "is too new for onnxruntime-gpu", "or install an onnxruntime-gpu that is built for it"),
        ("hidden", "shows none to this process", "name one"),
        ("no provider", "is built without CUDA", "uninstall onnxruntime and install onnxruntime-gpu"),
        ("", "NVIDIA Test, compute capability 9.0, driver 550.54.15 for CUDA 13.0 (70.0 of 80.0 GB are free)", ""),
    ],
)
def test_why_a_gpu_cannot_be_used_is_told(
    capsys: pytest.CaptureFixture[str], fake_cuda: FakeCuda, fault: str, found: str, remedy: str
) -> None:
    fake_cuda.set(fault)
    _, rows = doctor(capsys)
    assert found in str(rows["GPU"]["found"])
    assert remedy in str(rows["GPU"]["remedy"])
    assert rows["GPU"]["ok"] is (fault == "")


def test_a_cache_that_cannot_be_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("EMOTIONS_CACHE", str(tmp_path / "file"))
    code, found = doctor(capsys)
    assert code == 1
    assert "EMOTIONS_CACHE" in str(found["cache"]["remedy"])
