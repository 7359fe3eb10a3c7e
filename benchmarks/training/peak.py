"""Most memory that this process had at once."""

from __future__ import annotations

import resource
from pathlib import Path

_PROCESS = Path("/proc/self")


def forget_peak() -> None:
    """Let ``peak_mb`` begin anew, where the system can."""
    if _PROCESS.exists():
        (_PROCESS / "clear_refs").write_text("5")


def peak_mb() -> float:
    """Peak resident memory of this process, in MB."""
    if not _PROCESS.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    # Not ru_maxrss here: Linux hands the parent's peak down to it.
    status = (_PROCESS / "status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024 / 1e6
