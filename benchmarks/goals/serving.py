"""Figures of the service and of folders: requests, peers, files, starts."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

from benchmarks.goals.goal import Goal
from benchmarks.serving.folder_bookkeeping import bookkeeping
from benchmarks.serving.folder_formats import to_wav
from benchmarks.serving.folder_scale import measure
from benchmarks.serving.multipart import form_cost
from serving.benchmark.driver.server_process import started
from serving.benchmark.runner import Plan, benchmark_to_report

_OF_SESSION = {"small": 0.70, "medium": 0.88, "large": 0.93}
_TO_PEERS: Mapping[str, Mapping[str, float]] = {
    "small": {"LitServe": 1.5, "FastAPI": 1.5},
    "medium": {"LitServe": 1.35, "BentoML batchable": 1.7},
}
_OVER_SESSION_MS = {"service 16 connections": 0.8, "service 1 connection": 1.2}
_FORM_MS, _FORM_CLIPS, _FORM_ROUNDS = 1.0, 320, 5
FOLDERS = {"small": 0.90, "medium": 0.95}
"""Size of model -> a folder's speed that is wanted, of the bare session."""
_FILES, _LINKS = 4_000, 100_000
_FORMAT_FILES, _FORMAT_ROUNDS, _OF_WAV = 400, 5, 0.85
_STARTS = 5


def requests(bundle: Path, size: str, data: Path | None, forms: Path, output: Path, *, quick: bool) -> Iterator[Goal]:
    """Throughput of the service to the bare session's and to peers', and what a request costs over the session.

    Args:
        bundle: a bundle of ``size``.
        size: a key of ``benchmarks.goals.models.SIZES``.
        data: recordings; None for synthetic ones of 1 to 5 s.
        forms: recordings that are sent as forms, too.
        output: folder of the benchmark's own report.
        quick: fewer recordings and passes.
    """
    scenarios: Any = ("service", "peers") if size in _TO_PEERS else ("service",)
    report = benchmark_to_report(Plan(bundle, output, data, scenarios, quick=quick, quiet=True, install_peers=True))
    best, name = report["best_session"], "service 16 connections"
    yield _spread(f"{size} model, {name}, of the bare session", report["ratios"][f"{name} / {best}"], _OF_SESSION[size])
    for layer, wanted in _OVER_SESSION_MS.items():
        yield Goal(f"{size} model, {layer}, CPU over the session", report["cpu_ms_over_session"][layer], "ms", wanted)
        of_one = report["cpu_ms_over_session_batch_1"][layer]
        yield Goal(f"{size} model, {layer}, CPU over the session of batch size 1", of_one, "ms")
    over = report["cpu_ms_over_session"][name]
    median, lowest, highest = (over + more for more in form_cost(bundle, forms, _FORM_CLIPS, _FORM_ROUNDS))
    yield Goal(f"{size} model, {name}, the same by a form", median, "ms", _FORM_MS, False, lowest, highest)
    if size not in _TO_PEERS:
        return
    for peer, raced in report["peers"]["rows"].items():
        yield _spread(f"{size} model, service to {peer}", raced["ours_to_theirs"], _TO_PEERS[size].get(peer))


def files(bundle: Path, size: str, data: Path) -> Iterator[Goal]:
    """A folder to a table, of the bare session. Args as ``requests``; ``data`` is repeated."""
    found: Any = measure(bundle, data, _FILES, 0)
    what = f"{size} model, folder to table of {_FILES} files, of the bare session"
    limits = found["of_bare_lowest"], found["of_bare_highest"]
    yield Goal(what, found["of_bare"], "", FOLDERS[size], True, *limits)
    yield Goal(f"{size} model, memory of ten times the files", 1 + found["memory_growth"], "times")
    if size != "small":  # where a recording takes least, all else weighs most
        return
    for ending, (ratio, lowest, highest) in to_wav(bundle, data, _FORMAT_FILES, _FORMAT_ROUNDS).items():
        yield Goal(f"{size} model, a folder of {ending.upper()} to WAV's", ratio, "", _OF_WAV, True, lowest, highest)
    own = bookkeeping(bundle, data, _LINKS)
    share = own.ms_a_file * found["folder_files_per_sec"] / 1_000
    yield Goal(f"{size} model, listing, resuming and joining {_LINKS:,} files, of the time", share, "", 0.05)
    yield Goal(f"the same, memory of {_LINKS:,} files", own.peak_mb, "MB")


def starts(bundle: Path, folder: Path) -> Iterator[Goal]:
    """Seconds until the service is ready and the command line helps; memory of the service. Args as before."""
    ready, memory, program = [], [], str(Path(sys.executable).with_name("emotions"))
    serve = [program, "serve", "--bundle", str(bundle.resolve()), "--port"]
    for _ in range(_STARTS):
        began = time.perf_counter()
        with started(serve, {"EMOTIONS_DEVICE": "cpu"}, folder / "log", "/readyz") as server:
            ready.append(time.perf_counter() - began)
            parent = psutil.Process(server.process.pid)
            processes = [parent, *parent.children(recursive=True)]
            memory.append(sum(each.memory_full_info().pss for each in processes) / (1 << 20))
    yield _of("emotions serve, ready", ready, "s", 2.5)
    yield _of("memory of all its processes, shared pages counted once", memory, "MiB", 260)
    yield _of("emotions --help", [_seconds([program, "--help"]) for _ in range(2 * _STARTS)], "s", 0.25)


def _seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def _of(what: str, values: list[float], unit: str, wanted: float) -> Goal:
    return Goal(what, statistics.median(values), unit, wanted, False, min(values), max(values))


def _spread(what: str, spread: Mapping[str, Any], wanted: float | None) -> Goal:
    return Goal(what, spread["median"], "", wanted, True, spread["min"], spread["max"])
