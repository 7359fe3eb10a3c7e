"""Bodies of requests that are still arriving in one worker: their places, least speed, and the bytes that are held.

A body earns time by its bytes: it must have come at the least speed over any time longer than the grace. Where places
are scarce, the one that is nearest to its end gives way, so that many slow senders cost a fast one nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from emotions.errors import Overloaded, TooManyRequests
from serving.settings import Settings
from serving.worker.shares import Shares

SMALL_BYTES = 256 << 10
"""A body of so many bytes may use the part of the memory that larger ones leave free."""
_KEPT_FREE = 4
"""Larger bodies leave this part of all bytes free for small ones."""


@dataclass(eq=False)
class Arrival:
    """A body that is arriving.

    Attributes:
        client: who sends it.
        due: the event loop's time at which it is too slow, if nothing comes until then.
        ends: the event loop's time until which it must be there.
        waiting: the time limit of what waits for its next bytes.
        is_over: whether it gave way to another.
    """

    client: str
    due: float
    ends: float
    waiting: asyncio.Timeout | None = None
    is_over: bool = False

    def give_way(self) -> None:
        """End it now."""
        self.is_over = True
        if self.waiting is not None and not self.waiting.expired():
            self.waiting.reschedule(asyncio.get_running_loop().time())


class Arrivals:
    """The bodies that are arriving in one worker. Belongs to one event loop.

    Args:
        settings: the service's settings.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._places = Shares(settings.max_receiving)
        self._arriving: dict[str, dict[Arrival, None]] = {}
        self._bytes = Shares(settings.held_bytes)

    @property
    def count(self) -> int:
        """Bodies that are arriving."""
        return self._places.taken

    def begin(self, client: str) -> Arrival:
        """Take a place for a body; where there is none, the slowest one gives way.

        Args:
            client: who sends it.

        Raises:
            TooManyRequests: all places are taken by bodies that are not slow.
        """
        now, settings = asyncio.get_running_loop().time(), self._settings
        arrival = Arrival(client, now + settings.body_grace_sec, now + settings.body_sec)
        if not self._places.take(client):
            slowest = self._slowest(client)
            if slowest is None or slowest.due >= arrival.due:
                raise TooManyRequests(f"{self.count} bodies of requests are arriving already; try again later")
            slowest.give_way()
            self.end(slowest)
            if not self._places.take(client):
                raise TooManyRequests("half of all places have bodies of this client; try again later")
        self._arriving.setdefault(client, {})[arrival] = None
        return arrival

    def received(self, arrival: Arrival, size: int) -> None:
        """Note that bytes came.

        Args:
            arrival: of what.
            size: how many.
        """
        now = asyncio.get_running_loop().time()
        arrival.due = min(arrival.due + size / self._settings.min_body_rate, now + self._settings.body_grace_sec)

    def end(self, arrival: Arrival) -> None:
        """Give back the place of a body; again for one that gave way does nothing."""
        arriving = self._arriving.get(arrival.client, {})
        if arrival in arriving:
            del arriving[arrival]
            self._places.give_back(arrival.client)
        if not arriving:
            self._arriving.pop(arrival.client, None)

    def hold(self, client: str, held: int, size: int) -> None:
        """Count bytes as held, until ``let_go``.

        Args:
            client: who sent them.
            held: bytes that the same request holds already.
            size: how many more.

        Raises:
            Overloaded: there is no room for them.
        """
        self.check_room(client, held, size)
        self._bytes.take(client, size)

    def check_room(self, client: str, held: int, size: int) -> None:
        """As ``hold``, but nothing is counted."""
        left = self._bytes.total - self._bytes.taken
        if held + size > SMALL_BYTES:
            # A body has at most as much as it leaves: one alone nearly half, many together never all.
            left -= self._bytes.total // _KEPT_FREE
            if held + 2 * size > left:
                raise Overloaded("too many bytes of recordings are held already; try again later")
        if not self._bytes.has_room(client, size):
            raise Overloaded("too many bytes of recordings are held already; try again later")

    def let_go(self, client: str, size: int) -> None:
        """Count bytes as held no longer.

        Args:
            client: who sent them.
            size: how many.
        """
        self._bytes.give_back(client, size)

    def _slowest(self, client: str) -> Arrival | None:
        """The body nearest to its end: of whoever has half of the places, the client itself first, else of all."""
        owner = client
        if self._places.taken_by(client) < self._places.half:
            owner = max(self._arriving, key=self._places.taken_by, default=client)
        if self._places.taken_by(owner) >= self._places.half:
            candidates = [*self._arriving.get(owner, ())]
        else:
            candidates = [arrival for arriving in self._arriving.values() for arrival in arriving]
        return min(candidates, key=lambda arrival: arrival.due, default=None)
