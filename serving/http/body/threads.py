"""Threads in which text and tensors become recordings: none of those that decode, and one for large bodies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
_LARGE_BYTES = 1 << 20
# The interpreter's lock lets one at a time convert in any case; a second thread spares small bodies the wait.
_SMALL, _LARGE = (ThreadPoolExecutor(1, f"convert-{size}") for size in ("small", "large"))


async def in_thread(size: int | None, work: Callable[..., T], *arguments: Any) -> T:
    """Call a function that converts a body, off the event loop.

    Args:
        size: bytes of the body.
        work: the function.
        *arguments: its arguments.
    """
    threads = _LARGE if (size or 0) > _LARGE_BYTES else _SMALL
    return await asyncio.get_running_loop().run_in_executor(threads, work, *arguments)
