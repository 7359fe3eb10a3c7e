"""Progress of a folder on stderr: a bar on a terminal, else a line now and then, or lines of JSON for machines."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Literal

from emotions.pipeline.runner import console
from serving.batch.summary import Totals

LogFormat = Literal["text", "json"]
_BAR_AFTER_SEC = 1.0
_BAR_EVERY_SEC = 0.1
_LINE_EVERY_SEC = 30.0


@contextlib.contextmanager
def show_progress(
    totals: Totals, total: int, *, quiet: bool, log_format: LogFormat = "text"
) -> Iterator[Callable[[], None]]:
    """Give a function to call after each file.

    Args:
        totals: the counts so far, read on each call.
        total: files in all.
        quiet: show nothing.
        log_format: text, or JSON for machines.
    """
    if quiet:
        yield lambda: None
    elif log_format == "json":
        yield _at_intervals(
            lambda seconds: print(
                json.dumps({"event": "progress", **figures(totals, total, seconds)}), file=sys.stderr, flush=True
            ),
            first_sec=0,
        )
    elif console().is_terminal:
        with _bar(totals, total) as update:
            yield update
    else:
        yield _at_intervals(lambda seconds: _print_line(status(totals, total, seconds)), first_sec=_LINE_EVERY_SEC)


def figures(totals: Totals, total: int, seconds: float) -> dict[str, float]:
    """Files, files/s, real-time factor, errors and seconds left. What an earlier run did does not count as speed.

    Args:
        totals: the counts so far.
        total: files in all.
        seconds: seconds since this run began to classify.
    """
    files = totals.files - totals.resumed_files
    speed = files / seconds if seconds > 0 else 0.0
    return {
        "files": totals.files,
        "total": total,
        "files_per_sec": round(speed, 2),
        "times_real_time": round((totals.audio_sec - totals.resumed_sec) / max(seconds, 1e-9), 2),
        "errors": totals.errors,
        "left_sec": round((total - totals.files) / speed, 1) if speed else 0.0,
    }


def status(totals: Totals, total: int, seconds: float) -> str:
    """``figures`` as text, of the same arguments."""
    now = figures(totals, total, seconds)
    minutes, rest = divmod(round(now["left_sec"]), 60)
    return (
        f"{totals.files}/{total} files, {now['files_per_sec']:.1f} files/s, "
        f"{now['times_real_time']:.0f}x real time, {totals.errors} errors, {minutes}:{rest:02} left"
    )


def _print_line(text: str) -> None:
    console().print(text, markup=False, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def _bar(totals: Totals, total: int) -> Iterator[Callable[[], None]]:
    """A bar that appears after a second and vanishes at the end."""
    from rich.progress import BarColumn, Progress, TextColumn

    started = shown = time.monotonic()
    bar = Progress(BarColumn(20), TextColumn("{task.description}", markup=False), console=console(), transient=True)
    task = bar.add_task("", total=total)

    def update() -> None:
        nonlocal shown
        now = time.monotonic()
        if now - started < _BAR_AFTER_SEC or now - shown < _BAR_EVERY_SEC:
            return
        shown = now
        bar.update(task, completed=totals.files, description=status(totals, total, now - started))
        bar.start()

    try:
        yield update
    finally:
        if bar.live.is_started:
            bar.stop()


def _at_intervals(show: Callable[[float], None], *, first_sec: float) -> Callable[[], None]:
    """A function that calls ``show`` with the seconds so far: after ``first_sec``, then each half minute."""
    started = time.monotonic()
    due = started + first_sec

    def update() -> None:
        nonlocal due
        now = time.monotonic()
        if now >= due:
            due = now + _LINE_EVERY_SEC
            show(now - started)

    return update
