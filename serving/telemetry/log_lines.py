"""Lines of the log in groups: to write each by itself costs a request more than to answer it takes.

Python lets go of the interpreter's lock while it writes, and has to wait to get it back from the threads that decode
and run the model.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
from collections.abc import Iterable

_WAIT_SEC = 0.05
"""Most seconds for which a line waits for others."""


class LineGroups(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes what the event loop logs a moment later, with what is logged until then; warnings and errors at once.

    Args:
        handler: the one whose place it takes.
    """

    def __init__(self, handler: logging.StreamHandler) -> None:  # type: ignore[type-arg]
        super().__init__(handler.stream)
        self.setLevel(handler.level)
        self.setFormatter(handler.formatter)
        for each in handler.filters:
            self.addFilter(each)
        self._is_urgent = self._waits = False
        atexit.register(self._write)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or leave it to be written soon."""
        self._is_urgent = record.levelno >= logging.WARNING
        super().emit(record)

    def flush(self) -> None:
        """Write what is there: now if it is urgent, else soon."""
        if self._is_urgent or (loop := _running_loop()) is None:
            self._write()
        elif not self._waits:
            self._waits = True
            loop.call_later(_WAIT_SEC, self._write)

    def _write(self) -> None:
        self._waits = False
        super().flush()


def write_in_groups(loggers: Iterable[logging.Logger]) -> None:
    """Let loggers write their lines in groups, where they write to a stream.

    Args:
        loggers: whose handlers are replaced.
    """
    for logger in loggers:
        logger.handlers = [_grouped(handler) for handler in logger.handlers]


def _grouped(handler: logging.Handler) -> logging.Handler:
    return LineGroups(handler) if type(handler) is logging.StreamHandler else handler


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
