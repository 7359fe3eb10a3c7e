"""Moments in which a busy machine lets a test do nothing: no service can help what that takes."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

_EVERY_SEC = 0.01
_LEAST_SEC = 0.1
"""A thread that sleeps wakes up later than that only where its process does not run."""


@dataclass
class Pauses:
    """Begin and end of each pause of this process, in ``time.perf_counter``."""

    spans: list[tuple[float, float]] = field(default_factory=list)

    def seconds_without(self, began: float, ended: float) -> float:
        """Seconds between two moments, without the pauses between them."""
        paused = sum(max(0.0, min(ended, end) - max(began, begin)) for begin, end in self.spans)
        return ended - began - paused


@contextlib.contextmanager
def watched_pauses() -> Iterator[Pauses]:
    """The pauses until the block ends."""
    found, over = Pauses(), threading.Event()

    def watch() -> None:
        last = time.perf_counter()
        while not over.wait(_EVERY_SEC):
            now = time.perf_counter()
            if now - last > _LEAST_SEC:
                found.spans.append((last, now))
            last = now

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
