"""What Lightning and torch do to a process while they train, undone: their chatter, signals, switches."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import torch

# What Lightning and torch say that tells a user nothing; each by its own words.
_NOISE = (
    r".*does not have many workers.*",
    r".*The number of training batches .* is smaller than the logging interval.*",
    r".*[Cc]heckpoint directory .* exists and is not empty.*",
    r".*The dirpath has changed from .*",
    r".*is deprecated, use `isinstance\(treespec, TreeSpec\).*",
    r".*Found \d+ module\(s\) in eval mode at the start of training.*",
    r".*isinstance\(treespec, LeafSpec\).*",
    r"Grad strides do not match bucket view strides.*",
)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C be what it is elsewhere: Lightning ignores the signal from then on and leaves the process."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Leave out what Lightning says about itself; its and torch's other warnings pass."""
    talkers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels: list[Any] = [talker.level for talker in talkers]
    deterministic = torch.are_deterministic_algorithms_enabled()
    with warnings.catch_warnings():
        for message in _NOISE:
            warnings.filterwarnings("ignore", message=message)
        for talker in talkers:
            talker.setLevel(logging.WARNING)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(deterministic)
            for talker, level in zip(talkers, levels, strict=True):
                talker.setLevel(level)
