"""A folder for the counters that the workers of one server share.

BentoML has one folder for all servers of a user, and empties it whenever one of them starts: those that run already
would tell nothing any more, and a worker that is started again would count into the figures of another server.
"""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

import psutil

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""Where ``prometheus_client`` keeps the counters of several processes."""
_SHARED, _OWN = "prometheus_multiproc_dir", "emotions_metrics"


def use_metrics_dir() -> None:
    """Move the counters of this worker beside BentoML's folder, to one of its server; forget servers that ended."""
    given = Path(os.environ.get(DIRECTORY, ""))
    if given.name != _SHARED:
        return
    folder = given.with_name(_OWN) / _server(os.getppid())
    folder.mkdir(parents=True, exist_ok=True)
    _forget_ended(folder.parent)
    os.environ[DIRECTORY] = str(folder)


def _server(process: int) -> str:
    """Name of a server by the process that started its workers: no other one has it, now or later."""
    return f"{platform.node()}_{process}_{_started(process)}"


def _started(process: int) -> int:
    """When a process started, by a clock that nobody sets; 0 where there is no such process."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return int(fields[19])
    except (OSError, ValueError, IndexError):
        return int(psutil.Process(process).create_time()) if psutil.pid_exists(process) else 0


def _forget_ended(folders: Path) -> None:
    for folder in folders.glob(f"{platform.node()}_*_*"):
        process = folder.name.split("_")[-2]
        if process.isdecimal() and folder.name != _server(int(process)):
            shutil.rmtree(folder, ignore_errors=True)
