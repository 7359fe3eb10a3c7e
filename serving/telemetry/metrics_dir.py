"""A folder for the counters that the workers of one server share.

BentoML has one folder for all servers of a user, and empties it whenever one of them starts: the metrics of those that
run already would be lost, and a restarted worker would count into the metrics of another server.
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
    """Move the counters of this worker to a folder of its server, beside BentoML's; remove those of ended servers."""
    given = Path(os.environ.get(DIRECTORY, ""))
    if given.name != _SHARED:
        return
    folder = given.with_name(_OWN) / _server(os.getppid())
    folder.mkdir(parents=True, exist_ok=True)
    _remove_ended(folder.parent)
    os.environ[DIRECTORY] = str(folder)


def _server(process: int) -> str:
    """Unique name of a server: the process that started its workers, and when that was started."""
    return f"{platform.node()}_{process}_{_started(process)}"


def _started(process: int) -> int:
    """Start time of a process, in clock ticks since boot where Linux has it; 0 where there is no such process."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return int(fields[19])
    except (OSError, ValueError, IndexError):
        return int(psutil.Process(process).create_time()) if psutil.pid_exists(process) else 0


def _remove_ended(folders: Path) -> None:
    for folder in folders.glob(f"{platform.node()}_*_*"):
        process = folder.name.split("_")[-2]
        if process.isdecimal() and folder.name != _server(int(process)):
            shutil.rmtree(folder, ignore_errors=True)
