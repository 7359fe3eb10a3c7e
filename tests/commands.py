"""Commands in processes of their own that start at once: forked off one that has imported what they need."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import pytest

_PRELOAD = ["emotions.cli", "training.loop.fit", "training.evaluation.cross_validate", "export.bundle.export"]
_END_SEC = 280


@dataclass
class Command:
    """A running command; its standard output and error go to one file."""

    process: ForkServerProcess
    log: Path

    def until(self, happened: Callable[[], bool], beyond_sec: float = 0.0) -> None:
        """Wait until something has happened or the command has ended, and some seconds more."""
        deadline = time.monotonic() + _END_SEC
        while self.process.is_alive() and not happened():
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.002)
        time.sleep(beyond_sec)

    def ended(self, sent: signal.Signals | None = None) -> tuple[int, str]:
        """Send a signal, wait for the end: exit code, or minus a signal's number, and what was printed."""
        if sent is not None and self.process.pid is not None and self.process.is_alive():
            with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
                os.kill(self.process.pid, sent)
        self.process.join(_END_SEC)
        assert self.process.exitcode is not None, self.log.read_text()
        return self.process.exitcode, self.log.read_text()


class Commands:
    """Starts commands of ``emotions`` in a folder."""

    def __init__(self, context: ForkServerContext, folder: Path) -> None:
        self._context, self.folder, self._count = context, folder, 0

    def start(self, *arguments: str) -> Command:
        """Start a command."""
        self._count += 1
        log = self.folder / f"command{self._count}.log"
        log.touch()
        process = self._context.Process(target=_run, args=(arguments, self.folder, log, dict(os.environ)))
        process.start()
        return Command(process, log)

    def run(self, *arguments: str) -> str:
        """Run a command to its good end; what it printed."""
        code, told = self.start(*arguments).ended()
        assert code == 0, told
        return told


@pytest.fixture(scope="module")
def forkserver() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOAD)
    return context


def _run(arguments: Sequence[str], folder: Path, log: Path, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    os.chdir(folder)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(output, stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from emotions.cli import run

    code = run(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
