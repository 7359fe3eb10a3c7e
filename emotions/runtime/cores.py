"""The CPU cores that this process may use, which in a container are often fewer than the machine's."""

from __future__ import annotations

import math
import os
from pathlib import Path

_THREADS = "OMP_NUM_THREADS"


def available_cores(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """CPU cores that this process may use: those it may run on, or fewer where its container has a quota.

    Args:
        quota: file of the control group (cgroup v2): ``max 100000``, or microseconds of CPU in each period.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        allowed, period = quota.read_text().split()
        return min(cores, max(1, math.ceil(int(allowed) / int(period))))
    except (OSError, ValueError, ZeroDivisionError):
        return cores


def keep_to_available_cores() -> None:
    """Let PyTorch and NumPy start no more threads than there are cores to use, unless the user has set how many.

    By themselves they count the machine's cores, not the quota of a container: threads that outnumber what may run wait
    for each other, spinning. Has an effect before these libraries are imported.
    """
    cores = available_cores()
    if cores < (os.cpu_count() or 1):
        os.environ.setdefault(_THREADS, str(cores))
