"""Scenarios that ``python -m benchmarks...`` measures: it compares with other software, and is no part of the wheel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from emotions.errors import EmotionsError
from serving.benchmark.driver.clips import Clip
from serving.benchmark.scenarios.profile import BenchmarkProfile

_ROOT = Path(__file__).resolve().parents[3]
_BACKENDS_SEC = 300


def backends(bundle: Path, threads: int, *, quick: bool) -> dict[str, Any]:
    """Race a bundle in other runtimes: ``rows``, a runtime and batch size each, and ``not_run``: name -> reason.

    Args:
        bundle: the bundle.
        threads: CPU threads of each runtime.
        quick: fewer rounds, and without ``torch.compile``.
    """
    rounds = ["--rounds", "3", "--no-compiled"] if quick else ["--rounds", "5"]
    command = ["benchmarks.export", "backends", "--json", "--threads", str(threads), *rounds, "--", str(bundle)]
    try:
        if lacking := [name for name in ("torch", "onnx") if find_spec(name) is None]:
            raise EmotionsError(f"{lacking[0]} is not installed; pip install 'emotions-toolkit[export]'")
        return _measured(command, most_sec=_BACKENDS_SEC)
    except EmotionsError as error:
        return {"rows": [], "not_run": {"all runtimes": str(error)}}


def loadgen(port: int, clips: Sequence[Clip], profile: BenchmarkProfile, peak: float) -> dict[str, Any]:
    """Compare our load generator with MLPerf's LoadGen: figures of both and their ratios, or ``not_run``: reason.

    Args:
        port: of the running service on the loopback interface.
        clips: recordings to send.
        profile: length of the measurement, and its seed.
        peak: offline throughput of the service, in requests a second.
    """
    files = [str(clip.file.path) for clip in clips]
    options = ["--peak", str(peak), "--seconds", str(profile.seconds), "--seed", str(profile.seed)]
    try:
        return _measured(["benchmarks.serving", "loadgen", *options, "--", str(port), *files])
    except EmotionsError as error:
        return {"not_run": str(error)}


def peers(bundle: Path, data: Path, device: str, threads: int, *, quick: bool, install: bool) -> dict[str, Any]:
    """Race other servers of the same model: ``rows`` and ``not_run`` by peer, and ``parts_sec``: seconds of each.

    Args:
        bundle: the bundle.
        data: folder of recordings.
        device: where the model runs.
        threads: CPU threads of the model.
        quick: fewer recordings and passes.
        install: make the environments of servers that lack one.
    """
    flags = [*(["--quick"] if quick else []), *(["--install-peers"] if install else [])]
    options = ["--device", device, "--threads", str(threads), *flags]
    try:
        return _measured(["benchmarks.serving", "peers", *options, "--", str(bundle), str(data)])
    except EmotionsError as error:
        return {"rows": {}, "not_run": {"all peers": str(error)}, "parts_sec": {}}


def _measured(arguments: Sequence[str], *, most_sec: float | None = None) -> dict[str, Any]:
    """What a module of the checkout prints as JSON in its last line. ``EmotionsError`` where it cannot be measured."""
    if not (_ROOT / "benchmarks" / "serving").is_dir():
        raise EmotionsError("it is measured from a checkout of the source, not from an installed wheel")
    paths = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    try:
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            env={**os.environ, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            check=False,
            timeout=most_sec,
        )
    except subprocess.TimeoutExpired as error:
        raise EmotionsError(f"it took more than {most_sec:g} s") from error
    if done.returncode:
        raise EmotionsError((done.stderr.strip().splitlines() or ["it printed nothing"])[-1])
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured
