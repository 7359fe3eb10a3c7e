"""The process of ``load_check``: limits itself, loads a bundle's model, replays the probe, and ends."""

from __future__ import annotations

import os
import re
import sys
import threading
from pathlib import Path
from typing import NoReturn

_MORE_CPU_SEC = 30
"""So that the caller, which ends this process by the clock and says so, comes first: a loop takes as much of both."""
_OUT_OF_MEMORY = re.compile(r"alloc|out of memory|not enough memory", re.IGNORECASE)


def main() -> NoReturn:
    """Check the bundle that the command line names: folder, variant, threads, bytes of memory, seconds."""
    folder, variant, threads, memory, seconds = sys.argv[1:]
    _limit(int(memory), int(seconds) * int(threads) + _MORE_CPU_SEC)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    code = _check(Path(folder), variant, int(threads))
    sys.stdout.flush()
    os._exit(code)  # without the time that it takes to free everything


def _limit(memory: int, cpu_seconds: int) -> None:
    """Limit memory, CPU time, and what is written; Windows has no such limits, macOS none of memory."""
    try:
        import resource
    except ImportError:
        return
    limits = {
        resource.RLIMIT_DATA: memory,
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    for kind, value in limits.items():
        _, most = resource.getrlimit(kind)
        allowed = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(kind, (allowed, allowed))


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)  # nothing is ever sent
    os._exit(1)


def _check(folder: Path, variant: str, threads: int) -> int:
    # Imported within the limits: the libraries count as well.
    from emotions.bundle.bundle import Bundle, read_manifest
    from emotions.errors import EmotionsError, first_line
    from emotions.runtime.load_check import REFUSED, TOO_LARGE
    from emotions.runtime.session import open_unchecked

    try:
        open_unchecked(Bundle(folder, read_manifest(folder)), variant, threads)
    except MemoryError:
        return TOO_LARGE
    except EmotionsError as error:
        if isinstance(error.__cause__, MemoryError) or _OUT_OF_MEMORY.search(str(error.__cause__ or error)):
            return TOO_LARGE
        reason = str(error)
    except Exception as error:  # noqa: BLE001 - the caller has nothing but what is printed
        reason = f"{folder}: {type(error).__name__}: {first_line(error)}"
    else:
        return 0
    sys.stdout.buffer.write(reason.encode())
    return REFUSED
