"""Progress: a bar on the shared console for work that takes long enough to be watched."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

_PATIENCE_SEC = 2.0


def watched(results: Iterable[T], total: int, title: str) -> Iterator[T]:
    """Pass results on; a progress bar appears once it has taken two seconds."""
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
