"""Metrics that are written in groups: to write each by itself takes longer than the request that it is of needs else.

The files that workers share their metrics by are locked and written for every figure; of a group a counter is written
once, and a histogram once for each of its buckets.
"""

from __future__ import annotations

import asyncio
import contextlib
from bisect import bisect_left
from collections import Counter as Tally
from collections import defaultdict, deque
from collections.abc import Sequence

from prometheus_client import Counter, Histogram

_WAIT_SEC = 0.05
"""Most seconds for which a figure waits for others."""
_MOST = 2_000
"""Most figures that wait."""


class GroupedHistogram(Histogram):
    """A histogram that takes several values at once."""

    def observe_all(self, values: Sequence[float]) -> None:
        """As ``observe`` for each.

        Args:
            values: finite numbers.
        """
        self._sum.inc(sum(values))
        for place, count in Tally(bisect_left(self._upper_bounds, value) for value in values).items():
            self._buckets[place].inc(count)


Metric = Counter | GroupedHistogram


class FigureGroups:
    """Figures that wait to be written. Any thread may add some; the event loop writes them, a moment later."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Metric, tuple[str, ...], float]] = deque()
        self._is_due = False

    def add(self, metric: Metric, value: float = 1, *labels: str) -> None:
        """Add to a counter, or a value to a histogram.

        Args:
            metric: which one.
            value: by how much, or which.
            labels: of its series.
        """
        self._waiting.append((metric, labels, value))
        if len(self._waiting) > _MOST:
            self.write()

    def write_soon(self) -> None:
        """Write what was added until a moment from now; at once outside of an event loop."""
        if self._is_due:
            return
        try:
            asyncio.get_running_loop().call_later(_WAIT_SEC, self.write)
            self._is_due = True
        except RuntimeError:
            self.write()

    def write(self) -> None:
        """Write what was added."""
        self._is_due = False
        groups: defaultdict[tuple[Metric, tuple[str, ...]], list[float]] = defaultdict(list)
        with contextlib.suppress(IndexError):  # empty: other threads may have added meanwhile
            while True:
                metric, labels, value = self._waiting.popleft()
                groups[metric, labels].append(value)
        for (metric, labels), values in groups.items():
            series = metric.labels(*labels) if labels else metric
            if isinstance(series, GroupedHistogram):
                series.observe_all(values)
            else:
                series.inc(sum(values))
