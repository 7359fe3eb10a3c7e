"""Ctrl-C and SIGTERM: they end a block in order, and are not lost."""

from __future__ import annotations

import os
import signal
import time

import pytest

from emotions.pipeline.interruption import Interrupted, Stopped, keeping, stoppable


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_says_what_is_kept_after_the_block_was_left_in_order(sent: signal.Signals) -> None:
    before, left = signal.getsignal(sent), []
    with pytest.raises(Stopped) as stopped, stoppable(), keeping(lambda: f"kept {left}", lambda: "go on"):
        try:
            os.kill(os.getpid(), sent)
            time.sleep(10)
        finally:
            left.append("in order")
    assert (stopped.value.kept, stopped.value.command, stopped.value.code) == ("kept ['in order']", "go on", 128 + sent)
    assert signal.getsignal(sent) == before


def test_a_signal_that_python_drops_is_neither_lost_nor_told() -> None:
    class Finalised:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)

    with pytest.raises(Stopped), stoppable():
        each = Finalised()
        del each
        time.sleep(10)


def test_the_clean_up_of_a_stopped_block_is_not_stopped() -> None:
    cleaned = False
    with pytest.raises(Stopped), stoppable():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        finally:
            time.sleep(1.5)
            os.kill(os.getpid(), signal.SIGTERM)
            cleaned = True
    assert cleaned


def test_the_innermost_word_counts() -> None:
    with pytest.raises(Interrupted, match="inner"), keeping(lambda: "outer"), keeping(lambda: "inner"):
        raise KeyboardInterrupt


def test_a_clean_up_that_fails_after_a_signal_is_still_a_stop() -> None:
    """As that of Lightning does, which closes a logger again where the signal came while it was closed."""
    with pytest.raises(Stopped) as stopped, stoppable(), keeping(lambda: "all epochs are kept"):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        except KeyboardInterrupt:
            raise OSError("Writer is closed")  # noqa: B904 - as a clean-up raises it, which knows of no cause
    assert (stopped.value.kept, stopped.value.code) == ("all epochs are kept", 128 + signal.SIGTERM)


def test_an_error_without_a_signal_stays_what_it_is() -> None:
    with pytest.raises(ValueError, match="a mistake"), stoppable(), keeping(lambda: "kept"):
        raise ValueError("a mistake")
