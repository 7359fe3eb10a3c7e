"""What ends a decoding from outside: another thread, or a deadline."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator


class Cancellation:
    """Ends a decoding from another thread, or at a time.

    Args:
        deadline: ``time.monotonic`` at which it ends; None for never.
    """

    def __init__(self, deadline: float | None = None) -> None:
        self._deadline = deadline
        self._lock = threading.Lock()
        self._cancelled = False
        self._connection: socket.socket | None = None

    def cancel(self) -> None:
        """End it now."""
        with self._lock:
            self._cancelled = True
            if self._connection is not None:
                _shut(self._connection)

    def left(self) -> float | None:
        """Seconds until the deadline, above 0; None for no deadline. Raises as ``check``."""
        self.check()
        return None if self._deadline is None else max(1e-3, self._deadline - time.monotonic())

    def check(self) -> None:
        """Raise TimeoutError once it is to end."""
        if self._cancelled or (self._deadline is not None and time.monotonic() >= self._deadline):
            raise TimeoutError("decoding took too long")

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """For a block of code, a deadline in ``seconds``, unless the own one comes first."""
        own = self._deadline
        soon = time.monotonic() + seconds
        self._deadline = soon if own is None else min(own, soon)
        try:
            yield
        finally:
            self._deadline = own

    @contextlib.contextmanager
    def ending(self, connection: socket.socket) -> Iterator[None]:
        """Wake, at ``cancel``, whoever waits for a connection."""
        with self._lock:
            self._connection = connection
            if self._cancelled:
                _shut(connection)
        try:
            yield
        finally:
            with self._lock:
                self._connection = None


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
