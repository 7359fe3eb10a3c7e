"""Long work that is stopped by Ctrl-C or SIGTERM: it says what is kept, and how to go on."""

from __future__ import annotations

import _thread
import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

_SIGNALLED = 128
_AGAIN_SEC = 1.0
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

    def __init__(self, interrupted: BaseException) -> None:
        super().__init__(str(interrupted))
        self.kept = "what was complete is kept"
        self.command: str | None = None
        if isinstance(interrupted, Interrupted):
            self.kept, self.command = interrupted.kept, interrupted.command
        self.code = _SIGNALLED + _received


def is_interruption(error: BaseException | None) -> bool:
    """Whether an error is a KeyboardInterrupt, or was raised while one was handled, as by a clean-up that fails."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


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
    except (KeyboardInterrupt, Exception) as error:
        if not is_interruption(error):
            raise
        raise Interrupted(kept(), command()) from error


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end a command's block in order. Raises Stopped for both."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ended = threading.Event()

    def stop(number: int, _: Any) -> None:
        global _received  # noqa: PLW0603 - a signal's handler gives nothing back
        _received = signal.Signals(number)
        again = threading.Timer(_AGAIN_SEC, lambda: None if ended.is_set() else _thread.interrupt_main(_received))
        again.daemon = True
        again.start()
        # Python drops what is raised in a destructor or a weak reference's callback, where a signal may find it.
        if sys.exc_info()[0] is None:
            raise KeyboardInterrupt

    def dropped(unraisable: Any) -> None:
        """What Python says of an exception that it drops, but for the interrupt, which is raised again."""
        if not isinstance(unraisable.exc_value, KeyboardInterrupt):
            told(unraisable)

    told, sys.unraisablehook = sys.unraisablehook, dropped
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except (KeyboardInterrupt, Exception) as error:
        if not is_interruption(error):
            raise
        raise Stopped(error) from error
    finally:
        ended.set()
        sys.unraisablehook = told
        for number, handler in before.items():
            signal.signal(number, handler)
