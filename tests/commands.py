"""Commands in processes of their own that start at once: forked off one that has imported what they need.

What an import of torch, Lightning and transformers takes is not what a test of a command is about, and is seconds.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

_PRELOAD = ["emotions.cli", "training.loop.fit", "training.evaluation.cross_validate", "export.bundle.export"]
_END_SEC = 500
_FINISHED_SEC = 1800  # of the longest, which trains, exports and runs several models


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
            time.sleep(0.01)
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

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder, self._environment, self._count = folder, environment, 0

    def start(self, *arguments: str) -> Command:
        """Start a command."""
        self._count += 1
        log = self.folder / f"command{self._count}.log"
        log.touch()
        return Command(_started(arguments, self.folder, log, log, **self._environment), log)

    def run(self, *arguments: str) -> str:
        """Run a command to its good end; what it printed."""
        code, told = self.start(*arguments).ended()
        assert code == 0, told
        return told


def finished(*arguments: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``emotions`` in a folder to its end: exit code, standard output and standard error."""
    words = [*map(str, arguments)]
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("stdout", "stderr")]
        process = _started(words, cwd, *files, **environment)
        process.join(_FINISHED_SEC)
        output, error = (file.read_text(encoding="utf-8") for file in files)
    if process.exitcode is None:
        process.kill()
        raise AssertionError(f"{words} goes on after {_FINISHED_SEC} s\n{output}{error}")
    return subprocess.CompletedProcess(words, process.exitcode, output, error)


def _started(arguments: Sequence[str], cwd: Path, output: Path, error: Path, **environment: str) -> ForkServerProcess:
    variables = {**os.environ, **environment}
    process = _context().Process(target=_run, args=(arguments, cwd, output, error, variables))
    process.start()
    return process


@cache
def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOAD)
    return context


def _run(arguments: Sequence[str], cwd: Path, output: Path, error: Path, environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    for stream, path in ((1, output), (2, error)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # What it forks in turn comes off the same process; it would start one of its own, which would import all again.
    forkserver.ensure_running = forkserver._forkserver.ensure_running = lambda: None  # type: ignore[attr-defined]
    from emotions.cli import run

    code = run(arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it has ended: what is left is Python's and the packages' own
    atexit._run_exitfuncs()  # which a forked process passes by
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
