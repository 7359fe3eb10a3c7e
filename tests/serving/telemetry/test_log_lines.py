"""Lines of the log in groups: soon, in order, and at once where something is wrong."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Callable

import pytest

from serving.telemetry.log_lines import write_in_groups


class _File(io.StringIO):
    """A file that shows what was flushed alone, and counts how often."""

    def __init__(self) -> None:
        super().__init__()
        self.shown, self.flushes = "", 0

    def flush(self) -> None:
        """Show what was written."""
        self.shown, self.flushes = self.getvalue(), self.flushes + 1


class _NoSecrets(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return "secret" not in record.getMessage()


@pytest.fixture
def logged() -> tuple[logging.Logger, _File]:
    logger, file = logging.Logger("grouped", logging.INFO), _File()
    handler = logging.StreamHandler(file)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    handler.addFilter(_NoSecrets())
    logger.addHandler(handler)
    write_in_groups([logger])
    return logger, file


def _in_loop(steps: Callable[[], None], wait_sec: float = 0.2) -> None:
    async def scene() -> None:
        steps()
        await asyncio.sleep(wait_sec)

    asyncio.run(scene())


def test_lines_of_a_moment_are_written_together(logged: tuple[logging.Logger, _File]) -> None:
    logger, file = logged

    def steps() -> None:
        for number in range(100):
            logger.info("request %d", number)
        logger.info("a secret")
        assert not file.shown

    _in_loop(steps)
    assert file.shown.splitlines() == [f"INFO request {number}" for number in range(100)]
    assert file.flushes == 1
    _in_loop(lambda: logger.info("and later"))
    assert file.shown.endswith("INFO and later\n")


def test_a_warning_is_written_at_once_behind_what_was_logged_before(logged: tuple[logging.Logger, _File]) -> None:
    logger, file = logged

    def steps() -> None:
        logger.info("before")
        logger.warning("wrong")
        assert file.shown == "INFO before\nWARNING wrong\n"

    _in_loop(steps)


def test_outside_of_an_event_loop_each_line_is_written_at_once(logged: tuple[logging.Logger, _File]) -> None:
    logger, file = logged
    logger.info("alone")
    assert file.shown == "INFO alone\n"


def test_other_handlers_stay() -> None:
    logger, kept = logging.Logger("kept"), logging.NullHandler()
    logger.addHandler(kept)
    write_in_groups([logger])
    assert logger.handlers == [kept]
