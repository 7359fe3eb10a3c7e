"""Environments of peers: each its own, with pinned versions, in the user's cache, made once."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from emotions.errors import EmotionsError
from emotions.files.cache import cache_root
from serving.benchmark.report.report import installed

_KERNEL = ("numpy", "soundfile", "soxr", "av", "pydantic", "onnxruntime-gpu", "onnxruntime")
"""What our decoder and session need: the versions that are installed here, so that only the servers differ."""
_DONE = "complete"
_INSTALL_SEC = 600
_SOURCE = Path(__file__).resolve().parents[3]
_PACKAGES = ("benchmarks", "emotions", "serving")


def pinned(requirements: Sequence[str]) -> list[str]:
    """A peer's requirements and, in the versions of this environment, those of the model."""
    return [*requirements, *(f"{name}=={found}" for name in _KERNEL if (found := installed(name)))]


def environment(name: str, requirements: Sequence[str], *, install: bool) -> Path:
    """The Python of a peer's environment.

    Args:
        name: of the peer, fit for a folder.
        requirements: pinned ones.
        install: make it where it is not there.

    Raises:
        EmotionsError: it is not there and not to be made, or cannot be made.
    """
    packages = pinned(requirements)
    key = hashlib.sha256("\n".join([sys.version, *packages]).encode()).hexdigest()[:12]
    folder = cache_root() / "peers" / f"{name}-{key}"
    if not (folder / _DONE).exists():
        if not install:
            raise EmotionsError("its environment is not made; add --install-peers")
        _make(folder, packages)
    return folder / "bin" / "python"


def _make(folder: Path, packages: Sequence[str]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    python = str(folder / "bin" / "python")
    if uv := shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])):
        _run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)])
        _run([uv, "pip", "install", "--quiet", "--python", python, *packages])
    else:
        _run([sys.executable, "-m", "venv", str(folder)])
        _run([python, "-m", "pip", "install", "--quiet", *packages])
    (folder / _DONE).write_text("\n".join(packages), encoding="utf-8")


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_INSTALL_SEC)
    except subprocess.TimeoutExpired as error:
        raise EmotionsError(f"its environment cannot be made within {_INSTALL_SEC} s") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise EmotionsError(f"its environment cannot be made ({last})")


def sources(scratch: Path) -> Path:
    """A folder that holds our packages and nothing else, for ``PYTHONPATH``: an environment stays its own."""
    folder = scratch / "sources"
    folder.mkdir(exist_ok=True)
    for name in _PACKAGES:
        link = folder / name
        if not link.exists():
            link.symlink_to(_SOURCE / name, target_is_directory=True)
    return folder
