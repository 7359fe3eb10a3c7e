"""Progress bar on the shared console for long work."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

_PATIENCE_SEC = 2.0


def watched(results: Iterable[T], total: int, title: str) -> Iterator[T]:
    """Yield the results; a progress bar appears after two seconds.

    Args:
        results: passed through as they come.
        total: number of results.
        title: label of the bar.
    """
    from rich.progress import Progress

    from emotions.pipeline.runner import console

    began = time.monotonic()
    bar = Progress(console=console(), transient=True)
    task = bar.add_task(title, total=total)
    try:
        for result in results:
            yield result
            bar.advance(task)
            if not bar.live.is_started and time.monotonic() - began > _PATIENCE_SEC:
                bar.start()
    finally:
        if bar.live.is_started:
            bar.stop()
