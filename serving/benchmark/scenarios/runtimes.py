"""The bundle in other runtimes: measured by ``python -m export.benchmark backends``, for serving knows no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_MODULE = "export.benchmark"
_NEEDS = ("torch", "onnx")
_ROUNDS, _QUICK_ROUNDS = 5, 3
_MOST_SEC = 300


def runtimes(bundle: Path, threads: int, *, quick: bool) -> dict[str, Any]:
    """What the runtimes gave: ``rows``, a runtime and batch size each, and ``not_run``: name -> reason."""
    lacking = [name for name in _NEEDS if find_spec(name) is None]
    if lacking:
        why = f"{lacking[0]} is not installed; pip install 'emotions-toolkit[export]'"
        return {"rows": [], "not_run": {"all runtimes": why}}
    profile = ["--rounds", str(_QUICK_ROUNDS), "--no-compiled"] if quick else ["--rounds", str(_ROUNDS)]
    command = [sys.executable, "-m", _MODULE, "backends", str(bundle), "--json", "--threads", str(threads), *profile]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_MOST_SEC)
    except subprocess.TimeoutExpired:
        return {"rows": [], "not_run": {"all runtimes": f"they took more than {_MOST_SEC} s"}}
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        return {"rows": [], "not_run": {"all runtimes": why}}
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured
