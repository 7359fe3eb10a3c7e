"""The process that ``emotions serve`` becomes: it imports the service once, and forks the workers.

``bentoml serve`` starts a new interpreter for each worker, which imports again what its parent has imported. A worker
that is forked has all of it at once, and shares the pages with its parent: a third of the CPU time of a start, and a
sixth of its memory. In all else it is BentoML's worker. The parent opens no session, no event loop and no thread of
Python's, so that it can fork at any time.
"""

from __future__ import annotations

import gc
import importlib
import logging
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from emotions.errors import EmotionsError
from serving.settings import SUPERVISOR, Settings
from serving.worker.bentoml_internals import (
    disable_usage_tracking,
    log_as_bentoml,
    name_host,
    run_hooks,
    run_worker,
)
from serving.worker.startup import BundleCheck

_BACKLOG = 2048
_PAUSE_SEC = 1.0
"""Before a worker that ended is replaced: one that ends at once would take a core."""
_ENDS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})
_WAITED = _ENDS | {signal.SIGCHLD}

logger = logging.getLogger("bentoml.emotions")


class Supervisor:
    """Keeps workers running until this process is told to end, then lets them end.

    Args:
        work: what a worker does, given its number, from 1.
        workers: how many.
    """

    def __init__(self, work: Callable[[int], object], workers: int) -> None:
        self._work = work
        self._numbers = range(1, workers + 1)
        self._running: dict[int, int] = {}
        self._ending = False

    def run(self) -> None:
        """Return once SIGTERM, SIGINT or SIGQUIT came and every worker has ended."""
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, _WAITED)
        for number in self._numbers:
            self._start(number)
        while self._running:
            if signal.sigwait(_WAITED) == signal.SIGCHLD:
                self._reap()
            else:
                self._end()

    def _start(self, number: int) -> None:
        # What lives now lives on: a collection in a worker would write to every page, and so copy it.
        gc.collect()
        gc.freeze()
        process = os.fork()
        if process == 0:
            _ended(lambda: self._become(number))
        self._running[process] = number

    def _become(self, number: int) -> None:
        os.setsid()  # Ctrl-C on a terminal is for the supervisor alone, which passes it on
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        with Path(os.devnull).open("rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        self._work(number)

    def _reap(self) -> None:
        while (found := _waited()) is not None:
            number = self._running.pop(found[0], None)  # as the first process of a container it has others, too
            if number is not None and not self._ending:
                logger.error("worker %d ended with status %d: another is started", number, found[1])
                time.sleep(_PAUSE_SEC)
                self._start(number)

    def _end(self) -> None:
        self._ending = True
        for process in self._running:
            os.kill(process, signal.SIGTERM)


def _waited() -> tuple[int, int] | None:
    """Id and exit code of a process that has ended, if there is one; the code is negative where a signal ended it."""
    try:
        process, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (process, os.waitstatus_to_exitcode(status)) if process else None


def _ended(work: Callable[[], object]) -> None:
    """Do a forked process's work, and end it: the frames above are its parent's."""
    code = 1
    try:
        work()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001  # nobody is left to raise it to
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def serve(target: str, address: str, port: int, keep_alive_sec: int, checked: Settings | None = None) -> None:
    """Serve until this process is told to end. BentoML's configuration holds where no argument says otherwise.

    Args:
        target: ``module:name`` of a BentoML service, of this project or of a benchmark.
        address: IP address to listen on.
        port: of TCP.
        keep_alive_sec: seconds for which a connection may be idle.
        checked: settings of the bundle that the service will check, to begin with that while it is imported.

    Raises:
        EmotionsError: the service refuses to start.
    """
    os.environ[SUPERVISOR] = str(os.getpid())
    disable_usage_tracking()
    name_host(address)
    if checked is not None:
        BundleCheck.begun = BundleCheck(checked)
    module, _, name = target.partition(":")
    service: Any = getattr(importlib.import_module(module), name)
    logging.getLogger("emotions").handlers.clear()  # those of the command line; BentoML's log has all loggers
    log_as_bentoml()
    try:
        run_hooks(service)
    except click.ClickException as refusal:
        raise EmotionsError(refusal.message) from refusal
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, port), family=family, backlog=_BACKLOG) as listening:
        logger.info("serving %s on http://%s:%d (Ctrl-C ends it)", target, address, port)
        descriptor = listening.fileno()
        Supervisor(
            lambda number: run_worker(target, descriptor, number, keep_alive_sec), service.config["workers"]
        ).run()
