"""Progress of a folder on stderr: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from emotions.pipeline import console

_PATIENCE_SEC = 1.0
_LINE_EVERY_SEC = 30.0


class Counted(Protocol):
    """What progress is told of."""

    files: int
    audio_sec: float

    @property
    def errors(self) -> int:
        """Files that failed."""


@contextlib.contextmanager
def watched(counted: Counted, total: int, *, quiet: bool) -> Iterator[Callable[[], None]]:
    """Give a function to call after each file.

    Args:
        counted: the totals so far, read on each call.
        total: files to come in all.
        quiet: show nothing.
    """
    if quiet:
        yield lambda: None
        return
    with _bar(counted, total) if console().is_terminal else _lines(counted, total) as update:
        yield update


def status(counted: Counted, total: int, seconds: float) -> str:
    """Files, files/s, real time, errors and time left after ``seconds``, in words."""
    left = seconds / counted.files * (total - counted.files)
    minutes, rest = divmod(round(left), 60)
    return (
        f"{counted.files}/{total} files, {counted.files / seconds:.1f} files/s, "
        f"{counted.audio_sec / seconds:.0f}x real time, {counted.errors} errors, {minutes}:{rest:02} left"
    )


@contextlib.contextmanager
def _bar(counted: Counted, total: int) -> Iterator[Callable[[], None]]:
    """A bar that appears once it has taken a second and vanishes at the end."""
    from rich.progress import BarColumn, Progress, TextColumn

    started = time.monotonic()
    bar = Progress(BarColumn(20), TextColumn("{task.description}", markup=False), console=console(), transient=True)
    task = bar.add_task("", total=total)

    def update() -> None:
        seconds = time.monotonic() - started
        if seconds < _PATIENCE_SEC:
            return
        bar.update(task, completed=counted.files, description=status(counted, total, seconds))
        if not bar.live.is_started:
            bar.start()

    try:
        yield update
    finally:
        if bar.live.is_started:
            bar.stop()


@contextlib.contextmanager
def _lines(counted: Counted, total: int) -> Iterator[Callable[[], None]]:
    """A line each half minute, for logs."""
    started = told = time.monotonic()

    def update() -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= _LINE_EVERY_SEC:
            told = now
            console().print(status(counted, total, now - started), markup=False, highlight=False, soft_wrap=True)

    yield update
