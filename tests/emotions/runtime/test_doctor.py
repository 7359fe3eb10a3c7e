from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from emotions import cli


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


def test_a_cache_that_cannot_be_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("EMOTIONS_CACHE", str(tmp_path / "file"))
    code, found = doctor(capsys)
    assert code == 1
    assert "EMOTIONS_CACHE" in str(found["cache"]["remedy"])
