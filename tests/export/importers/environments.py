"""Environments with the packages that importers are compared with, made from an index where one is reachable."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest


def made_environment(folder: Path, *packages: str, dependencies: bool = False) -> Path:
    """Make an environment that has packages beside all of this one's; its interpreter.

    Torch is several gigabytes: a ``.pth`` file lends this environment's. The test is skipped where no index answers.

    Args:
        folder: of the environment.
        packages: with their versions.
        dependencies: install what they depend on, too, which goes before what is lent.
    """
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    if not Path(uv).exists():
        pytest.skip("uv, which makes the environment of the original, is not installed")
    python = folder / "bin" / "python"
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(folder)], check=True, capture_output=True)
    alone = [] if dependencies else ["--no-deps"]
    install = [uv, "pip", "install", "-q", *alone, "--python", str(python), *packages]
    try:
        done = subprocess.run(install, capture_output=True, text=True, check=False, timeout=200)
    except subprocess.TimeoutExpired:
        pytest.skip(f"no index gives {', '.join(packages)} in time")
    if done.returncode:
        pytest.skip(f"no index gives {', '.join(packages)}: {done.stderr.strip().splitlines()[-1:]}")
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "zz_lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python
