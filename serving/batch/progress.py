"""Progress of a folder on stderr: a bar on a terminal, else a line now and then, or lines of JSON for machines."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Literal, Protocol

from emotions.pipeline.runner import console

LogFormat = Literal["text", "json"]
_PATIENCE_SEC = 1.0
_LINE_EVERY_SEC = 30.0
_BAR_EVERY_SEC = 0.1


class Counted(Protocol):
    """What progress is told of."""

    files: int
    audio_sec: float
    resumed_files: int
    resumed_sec: float

    @property
    def errors(self) -> int:
        """Files that failed."""


@contextlib.contextmanager
def watched(
    counted: Counted, total: int, *, quiet: bool, log_format: LogFormat = "text"
) -> Iterator[Callable[[], None]]:
    """Give a function to call after each file.

    Args:
        counted: the totals so far, read on each call.
        total: files to come in all.
        quiet: show nothing.
        log_format: words, or JSON for machines.
    """
    if quiet:
        yield lambda: None
    elif log_format == "json":
        with _lines(lambda seconds: _say(counted, total, seconds), at_once=True) as update:
            yield update
    elif console().is_terminal:
        with _bar(counted, total) as update:
            yield update
    else:
        with _lines(lambda seconds: _print(status(counted, total, seconds))) as update:
            yield update


def figures(counted: Counted, total: int, seconds: float) -> dict[str, float]:
    """Files, files/s, real-time factor, errors and seconds left after ``seconds``; what was resumed took no time."""
    files = counted.files - counted.resumed_files
    speed = files / seconds if seconds > 0 else 0.0
    return {
        "files": counted.files,
        "total": total,
        "files_per_sec": round(speed, 2),
        "times_real_time": round((counted.audio_sec - counted.resumed_sec) / max(seconds, 1e-9), 2),
        "errors": counted.errors,
        "left_sec": round((total - counted.files) / speed, 1) if speed else 0.0,
    }


def status(counted: Counted, total: int, seconds: float) -> str:
    """The figures in words."""
    told = figures(counted, total, seconds)
    minutes, rest = divmod(round(told["left_sec"]), 60)
    return (
        f"{counted.files}/{total} files, {told['files_per_sec']:.1f} files/s, "
        f"{told['times_real_time']:.0f}x real time, {counted.errors} errors, {minutes}:{rest:02} left"
    )


def _say(counted: Counted, total: int, seconds: float) -> None:
    print(json.dumps({"event": "progress", **figures(counted, total, seconds)}), file=sys.stderr, flush=True)


def _print(text: str) -> None:
    console().print(text, markup=False, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def _bar(counted: Counted, total: int) -> Iterator[Callable[[], None]]:
    """A bar that appears once it has taken a second and vanishes at the end."""
    from rich.progress import BarColumn, Progress, TextColumn

    started = shown = time.monotonic()
    bar = Progress(BarColumn(20), TextColumn("{task.description}", markup=False), console=console(), transient=True)
    task = bar.add_task("", total=total)

    def update() -> None:
        nonlocal shown
        now = time.monotonic()
        if now - started < _PATIENCE_SEC or now - shown < _BAR_EVERY_SEC:
            return
        shown = now
        bar.update(task, completed=counted.files, description=status(counted, total, now - started))
        if not bar.live.is_started:
            bar.start()

    try:
        yield update
    finally:
        if bar.live.is_started:
            bar.stop()


@contextlib.contextmanager
def _lines(tell: Callable[[float], None], *, at_once: bool = False) -> Iterator[Callable[[], None]]:
    """A line each half minute, for logs; ``at_once``: one at the first file too."""
    started = time.monotonic()
    told = started - (_LINE_EVERY_SEC if at_once else 0)

    def update() -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= _LINE_EVERY_SEC:
            told = now
            tell(now - started)

    yield update
