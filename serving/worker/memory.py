"""Memory that a worker needed once and has free again, back to the system: glibc keeps it otherwise."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
from pathlib import Path

_STATM = Path("/proc/self/statm")
_GROWTH_BYTES = 32 << 20
"""Growth above the least that was seen from which it is worth a look."""
_MMAP_THRESHOLD = -3
_LARGE_BYTES = 4 << 20
"""Blocks from this size are given back once they are free; glibc raises its own limit up to 32 MiB."""


async def return_memory(every_sec: float = 1.0) -> None:
    """From time to time give free memory back, if there is more than before. Ends where the system cannot.

    Args:
        every_sec: seconds between two looks.
    """
    libc = ctypes.CDLL(None)
    if not _STATM.exists() or not hasattr(libc, "malloc_trim") or not hasattr(libc, "mallopt"):
        return
    libc.mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)
    least = await asyncio.to_thread(_trimmed, libc)
    while True:
        await asyncio.sleep(every_sec)
        if _resident_bytes() > least + _GROWTH_BYTES:
            least = min(least, await asyncio.to_thread(_trimmed, libc))


def _trimmed(libc: ctypes.CDLL) -> int:
    """Resident bytes after free ones were given back.

    Errors are circles of objects that hold the bodies that they were raised about, and too few to be collected soon.
    """
    gc.collect()
    libc.malloc_trim(0)
    return _resident_bytes()


def _resident_bytes() -> int:
    return int(_STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
