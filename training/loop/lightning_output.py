"""Contain what Lightning and torch change in a process while they train: log levels, signal handlers, switches."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import torch

from emotions.pipeline.interruption import is_interruption

# Warnings of Lightning and torch that a user cannot act on, each by its own text.
_NOISE = (
    r".*does not have many workers.*",
    r".*The number of training batches .* is smaller than the logging interval.*",
    r".*[Cc]heckpoint directory .* exists and is not empty.*",
    r".*The dirpath has changed from .*",
    r"You defined a `validation_step` but have no `val_dataloader`.*",
    r".*is deprecated, use `isinstance\(treespec, TreeSpec\).*",
    r".*Found \d+ module\(s\) in eval mode at the start of training.*",
    r".*isinstance\(treespec, LeafSpec\).*",
    r"Grad strides do not match bucket view strides.*",
)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt on Ctrl-C. Lightning would ignore the signal from then on, and exit the process.

    Where the signal comes while Lightning closes its loggers, it closes them again, which fails.
    """
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except (SystemExit, Exception) as error:
        if not isinstance(error, SystemExit) and not is_interruption(error):
            raise
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from error


@contextlib.contextmanager
def lightning_output() -> Iterator[None]:
    """Suppress Lightning's status messages and known warnings, and restore torch's deterministic mode at the end.

    The thread that writes TensorBoard's logs ends with a traceback where the disk is full; what it writes next raises.
    """
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels: list[Any] = [logger.level for logger in loggers]
    told = threading.excepthook
    threading.excepthook = lambda failed: None if isinstance(failed.exc_value, OSError) else told(failed)
    deterministic = torch.are_deterministic_algorithms_enabled()
    with warnings.catch_warnings():
        for message in _NOISE:
            warnings.filterwarnings("ignore", message=message)
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        try:
            yield
        finally:
            threading.excepthook = told
            torch.use_deterministic_algorithms(deterministic)
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
