"""Long work that is stopped by Ctrl-C or SIGTERM: it says what is kept, and how to go on."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

_SIGNALLED = 128
_received = signal.SIGINT


class Interrupted(KeyboardInterrupt):
    """Long work was stopped by a signal.

    Attributes:
        kept: what is kept, as the first half of a sentence.
        command: what goes on; None for the same command as before.
    """

    def __init__(self, kept: str, command: str | None = None) -> None:
        super().__init__(kept)
        self.kept, self.command = kept, command


class Stopped(BaseException):
    """A command was stopped; ``code`` is its exit code. For the command line alone, which says the rest."""

    def __init__(self, interrupted: KeyboardInterrupt) -> None:
        super().__init__(str(interrupted))
        self.kept = "what was complete is kept"
        self.command: str | None = None
        if isinstance(interrupted, Interrupted):
            self.kept, self.command = interrupted.kept, interrupted.command
        self.code = _SIGNALLED + _received


@contextlib.contextmanager
def keeping(kept: Callable[[], str], command: Callable[[], str | None] = lambda: None) -> Iterator[None]:
    """Say what is kept where the block is interrupted.

    Args:
        kept: what is kept, asked for once the block was left.
        command: what goes on.

    Raises:
        Interrupted: instead of any other KeyboardInterrupt.
    """
    try:
        yield
    except Interrupted:
        raise
    except KeyboardInterrupt as error:
        raise Interrupted(kept(), command()) from error


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM end a command's block as Ctrl-C does, in order. Raises Stopped for both."""
    here = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, _stop) if here else None
    _note(signal.SIGINT)
    try:
        yield
    except KeyboardInterrupt as error:
        raise Stopped(error) from error
    finally:
        if here:
            signal.signal(signal.SIGTERM, before)


def _stop(number: int, _: Any) -> None:
    _note(signal.Signals(number))
    raise KeyboardInterrupt


def _note(number: signal.Signals) -> None:
    global _received  # noqa: PLW0603 - a signal's handler gives nothing back
    _received = number
