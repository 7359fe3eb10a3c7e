"""The last recordings of a worker, as bins and coordinates, never as sound: a ring of fixed size."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from emotions.bundle.reference.drift import Comparison, Digest, Finding
from emotions.bundle.reference.observation import Observation

_LEAST_EVERY, _PARTS = 25, 20
_A_SECOND, _AT_ONCE = 20.0, 1_000.0
"""Recordings that are looked at in a second of load, and at once before it: of more a part tells as much."""
Tell = Callable[[int, Sequence[Finding], Mapping[str, float]], None]
"""Takes the number of recordings in the window, what was found, and the expected accuracy of each target."""


class DriftWatch:
    """Compares the last recordings with a reference, now and then. Belongs to one thread.

    Args:
        comparison: with the reference.
        size: most recordings that are kept.
        tell: called when they were compared.
    """

    def __init__(self, comparison: Comparison, size: int, tell: Tell) -> None:
        bins, points = comparison.widths
        self._comparison, self._tell = comparison, tell
        self._kept = Digest(np.full((size, bins), -1, np.int16), np.full((size, points), np.nan, np.float32))
        self._every = max(_LEAST_EVERY, size // _PARTS)
        self._size, self._seen = size, 0
        self._allowed, self._allowed_at = _AT_ONCE, time.monotonic()

    def wants(self, *, busy: bool) -> bool:
        """Whether to look at the recording that comes now: at each where no other waits, under load at a part.

        To measure one costs a busy worker as much as to answer a small model's request.

        Args:
            busy: whether other requests are in flight.
        """
        now = time.monotonic()
        self._allowed = min(_AT_ONCE, self._allowed + (now - self._allowed_at) * _A_SECOND)
        self._allowed_at = now
        if not busy:
            return True
        if self._allowed < 1:
            return False
        self._allowed -= 1
        return True

    def add(self, clip: Observation) -> None:
        """Take a recording that ``wants`` asked for; it takes the place of the oldest one."""
        at, digest = self._seen % self._size, self._comparison.digest(clip)
        self._kept.bins[at], self._kept.points[at] = digest.bins[0], digest.points[0]
        self._seen += 1
        if self._seen % min(self._every, self._size) == 0:
            self._compare()

    def _compare(self) -> None:
        count = min(self._seen, self._size)
        kept = Digest(self._kept.bins[:count], self._kept.points[:count])
        self._tell(count, self._comparison.findings(kept), self._comparison.expected_accuracy(kept))
