"""Places and bytes that the clients of one worker share."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

_LATELY_SEC = 10.0
"""A client that asked within so many seconds is there, and has a right to its half."""


class Shares:
    """An amount that clients share: where another one asked lately, one has at most half of it.

    Args:
        total: the amount.
        clock: seconds, for tests.
    """

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self.taken = 0
        self._clock = clock
        self._taken_by: Counter[str] = Counter()
        # The last client that asked, and the last other one: whoever asks, one of the two is another.
        self._last: tuple[str, float] | None = None
        self._other: tuple[str, float] | None = None

    def taken_by(self, client: str) -> int:
        """What a client has."""
        return self._taken_by[client]

    def has_room(self, client: str, amount: int = 1) -> bool:
        """Whether a client may take more.

        Args:
            client: its key or address.
            amount: how much.
        """
        now, own = self._clock(), self._taken_by[client]
        if self._last is not None and self._last[0] != client:
            self._other = self._last
        self._last = (client, now)
        asked_lately = self._other is not None and now - self._other[1] < _LATELY_SEC
        most = self.half if asked_lately or self.taken > own else self.total
        return self.taken + amount <= self.total and own + amount <= most

    def take(self, client: str, amount: int = 1) -> bool:
        """Take more for a client, where there is room for it.

        Args:
            client: its key or address.
            amount: how much.
        """
        if not self.has_room(client, amount):
            return False
        self.taken += amount
        self._taken_by[client] += amount
        return True

    def give_back(self, client: str, amount: int = 1) -> None:
        """Give back what was taken.

        Args:
            client: its key or address.
            amount: how much.
        """
        self.taken -= amount
        self._taken_by[client] -= amount
        if self._taken_by[client] <= 0:
            del self._taken_by[client]

    @property
    def half(self) -> int:
        """Most of one client among several."""
        return (self.total + 1) // 2
