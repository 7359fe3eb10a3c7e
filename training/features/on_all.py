"""Work on all devices at once: while one group is computed, the samples of the next are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from queue import SimpleQueue
from threading import Lock
from typing import Any, TypeVar

from training.features.extract import device_of
from training.models.base import Frontend

_AT_ONCE = 2
"""Groups of a device at once: one is computed, the samples of another are read."""
Result = TypeVar("Result")
Work = Callable[[Sequence[int], Frontend, AbstractContextManager[Any]], Result]
"""Clips, a frontend on its device, and what is to be held while it computes -> what comes of them."""


def on_all(work: Work[Result], groups: Iterable[Sequence[int]], frontends: Sequence[Frontend]) -> Iterator[Result]:
    """Work on groups of clips, in order; on one CPU one after the other, in this thread.

    Args:
        work: computes and stores a group.
        groups: of clips.
        frontends: the same one on each device.
    """
    if len(frontends) == 1 and device_of(frontends[0]).type == "cpu":
        yield from (work(group, frontends[0], nullcontext()) for group in groups)
        return
    slots: SimpleQueue[tuple[Frontend, Lock]] = SimpleQueue()
    for slot in [(frontend, Lock()) for frontend in frontends] * _AT_ONCE:
        slots.put(slot)

    def in_slot(group: Sequence[int]) -> Result:
        frontend, turn = slots.get()
        try:
            return work(group, frontend, turn)
        finally:
            slots.put((frontend, turn))

    pool = ThreadPoolExecutor(len(frontends) * _AT_ONCE, thread_name_prefix="features")
    try:
        yield from pool.map(in_slot, groups)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
