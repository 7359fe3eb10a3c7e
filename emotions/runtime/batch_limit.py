"""How much one run may hold: halved where memory was lacking, doubled again once it has been enough for a while."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from emotions.audio.decode import SAMPLE_RATE
from emotions.errors import OutOfMemory
from emotions.runtime.failures import reason

QUIET_SEC = 300.0
"""Seconds without a lack of memory after which batches may be twice as large: another program may have ended."""

logger = logging.getLogger("emotions")


class BatchLimit:
    """The most samples of one run, padding included. Safe to call from several threads.

    Args:
        most: at the beginning, and never more; None for no limit.
        clock: seconds that only grow.
    """

    def __init__(self, most: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._first = self._now = most
        self._lacking = 0  # the most samples of a run that lacked memory
        self._since, self._clock = 0.0, clock
        self._lock = threading.Lock()

    def samples(self) -> int | None:
        """Samples that the next run may have; None for any number."""
        if self._lacking and self._clock() - self._since >= QUIET_SEC:
            self._double()
        return self._now

    def halve(self, windows: int, samples: int, error: Exception) -> None:
        """Allow half of a batch that memory did not hold.

        Args:
            windows: of the batch.
            samples: of a window.
            error: what was raised.

        Raises:
            OutOfMemory: it was one window.
        """
        if windows == 1:
            raise OutOfMemory(
                f"the device lacks memory for a window of {samples / SAMPLE_RATE:.1f} s ({reason(error)}); "
                "try again later"
            ) from error
        half = windows * samples // 2
        with self._lock:
            self._since = self._clock()
            self._lacking = max(self._lacking, windows * samples)
            if self._now is not None and self._now <= half:
                return  # another thread was first
            self._now = half
        logger.warning(
            "out of memory with a batch of %d windows of %.1f s: batches have at most %.1f s of audio from now on",
            windows,
            samples / SAMPLE_RATE,
            half / SAMPLE_RATE,
        )

    def _double(self) -> None:
        with self._lock:
            if not self._lacking or self._now is None or self._clock() - self._since < QUIET_SEC:
                return  # another thread was first
            self._since = self._clock()
            self._now = twice = self._now * 2
            if twice >= self._lacking:
                self._now, self._lacking = self._first, 0
        logger.warning(
            "memory was enough for %.0f minutes: batches have up to %.1f s of audio again",
            QUIET_SEC / 60,
            twice / SAMPLE_RATE,
        )
