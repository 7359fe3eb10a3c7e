"""Runs the steps, each in a process of its own with a deadline: one that fails, hangs or dies stops no other."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.gpu.step import Step
from emotions.runtime.settings_trial import SWITCH

LINES = "steps.jsonl"
"""File of the lines, one a step, below the output folder."""
LEAST_SEC = 5.0
"""A step that would have less time than this is not begun."""
_GRACE_SEC = 2.0
_DRY_AT_ONCE = 2
_MAX_CAUSE = 300
Line = dict[str, Any]


def run_steps(
    steps: Sequence[Step], output: Path, *, seconds: float, dry: bool = False, say: Callable[[str], None] = print
) -> list[Line]:
    """Run steps, each line flushed to ``steps.jsonl`` when its step has ended: one after the other, dry two at once.

    Args:
        steps: what to run.
        output: folder for the lines, the logs of the steps, and what they make.
        seconds: for all of them; a step that would begin later is skipped.
        dry: with a fake of the CUDA provider, on the CPU.
        say: is given a line of progress a step.

    Returns:
        The lines in the order in which they were written: ``step``, ``status`` (passed, failed, stopped or skipped),
        ``cause``, ``seconds``, ``dry``, ``figures``.
    """
    (output / "logs").mkdir(parents=True, exist_ok=True)
    ends = time.monotonic() + seconds
    lines: list[Line] = []
    writing = threading.Lock()
    with (output / LINES).open("w", encoding="utf-8") as stream, ThreadPoolExecutor(_DRY_AT_ONCE if dry else 1) as pool:

        def run(step: Step) -> None:
            left = ends - time.monotonic()
            if left < LEAST_SEC:
                line = _line(step, "skipped", f"no time was left of the {seconds:.0f} s of the run", 0.0, {})
            else:
                # What a dry run waits for is a slow processor, never a card.
                most = left if dry else min(step.seconds, left)
                line = _run(step, output, most - _GRACE_SEC, dry=dry)
            line["dry"] = dry
            with writing:
                lines.append(line)
                stream.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
                say(f"{line['step']:<14} {line['status']:<8} {line['seconds']:6.1f} s  {line['cause']}")

        for group in _groups(steps):
            list(pool.map(run, group))
    return lines


def _groups(steps: Sequence[Step]) -> Iterator[list[Step]]:
    """The steps in order, cut behind each that others need."""
    group: list[Step] = []
    for step in steps:
        group.append(step)
        if step.needed:
            yield group
            group = []
    yield group


def _line(step: Step, status: str, cause: str, seconds: float, figures: dict[str, Any]) -> Line:
    return {"step": step.name, "status": status, "cause": cause, "seconds": round(seconds, 2), "figures": figures}


def _run(step: Step, output: Path, seconds: float, *, dry: bool) -> Line:
    notes, log = output / "logs" / f"{step.name}.notes", output / "logs" / f"{step.name}.log"
    notes.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.gpu.child", step.call, str(output), str(notes), *["dry"] * dry]
    environment = {**os.environ, "EMOTIONS_CACHE": str(output / "cache"), "TOKENIZERS_PARALLELISM": "false"}
    if not step.trial:  # it would take the step's time
        environment[SWITCH] = "off"
    if dry:  # threads of torch spin while they wait, and would take the cores from the step beside this one
        environment["OMP_NUM_THREADS"] = "1"
    began = time.monotonic()
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True, env=environment
        )
        try:
            code: int | None = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _kill(process)
    figures, end = _read(notes)
    status, cause = _ending(end, code, seconds, log)
    return _line(step, status, cause, time.monotonic() - began, figures)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a step's process and all that it started: they share its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):  # one in the kernel, waiting for a driver, does not end
        process.wait(_GRACE_SEC)


def _ending(end: dict[str, str] | None, code: int | None, seconds: float, log: Path) -> tuple[str, str]:
    """The status of a step and its cause, by what it noted and how its process ended."""
    if code is None:
        return "stopped", f"it took longer than {seconds:.0f} s"
    if end is not None:
        return end["status"], end["cause"]
    said = f": {last}" if (last := _last_line(log)) else ""
    if code < 0:
        return "failed", f"its process was killed by {_signal_name(-code)}{said}"[:_MAX_CAUSE]
    return "failed", f"its process ended with exit code {code}{said}"[:_MAX_CAUSE]


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _read(notes: Path) -> tuple[dict[str, Any], dict[str, str] | None]:
    """The figures that a step noted, and its end where it noted one."""
    figures: dict[str, Any] = {}
    end = None
    for kind, *rest in _noted(notes):
        if kind == "figure":
            figures[rest[0]] = rest[1]
        else:
            end = rest[0]
    return figures, end


def _noted(notes: Path) -> Iterator[list[Any]]:
    if notes.exists():
        for line in notes.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):  # cut off by a kill
                yield json.loads(line)


def _last_line(log: Path) -> str:
    return next(reversed(log.read_text(encoding="utf-8", errors="replace").strip().splitlines()), "").strip()
