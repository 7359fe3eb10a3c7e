"""Environments of their own for tests with packages that are no dependency of the toolkit: made once a machine."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).parents[1]
_INSTALL_SEC = 900


def python_with(*requirements: str) -> Path:
    """The Python of an environment with pinned packages and, behind them, all that is installed here.

    Skips the test where they cannot be installed.
    """
    key = hashlib.sha256("\n".join([sys.version, sys.prefix, *requirements]).encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"emotions-test-environment-{os.getuid()}-{key}"
    with FileLock(f"{folder}.lock"):
        if not (folder / "complete").exists():
            _make(folder, requirements)
    return folder / "bin" / "python"


def _make(folder: Path, requirements: tuple[str, ...]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    uv = str(Path(sys.executable).with_name("uv"))
    python = str(folder / "bin" / "python")
    for command in (
        ["venv", "--python", sys.executable, str(folder)],
        ["pip", "install", "--python", python, *requirements],
    ):
        try:
            done = subprocess.run([uv, *command], capture_output=True, text=True, check=False, timeout=_INSTALL_SEC)
        except (OSError, subprocess.TimeoutExpired) as error:
            pytest.skip(f"{', '.join(requirements)} cannot be installed here: {error}")
        if done.returncode:
            pytest.skip(f"{', '.join(requirements)} cannot be installed here: {done.stderr[-300:]}")
    site = next(folder.glob("lib/python*/site-packages"))
    ours = sysconfig.get_path("purelib")
    (site / "toolkit.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    (folder / "complete").touch()


def run(python: Path, code: str, cwd: Path, **environment: str) -> str:
    """What a program prints; the test fails with its errors where it fails."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW", "WANDB", "TRACKIO"))}
    variables = {**clean, "PYTHONPATH": str(ROOT), **environment}
    command = [str(python), "-c", code]
    done = subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=False, timeout=540)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-6000:]}"
    return done.stdout
