"""Commands of ``emotions`` in a pseudo-terminal, as somebody at a keyboard runs them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")
_END_SEC = 240.0


class Terminal:
    """A command in a pseudo-terminal of 100 columns; what it writes is read as text without control sequences."""

    def __init__(self, command: list[str], cwd: Path, environment: dict[str, str]) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        variables = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "PYTHONUTF8": "1", **environment}
        self._process = subprocess.Popen(
            command,
            cwd=cwd,
            env=variables,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=_take_terminal,  # noqa: PLW1509 - so that Ctrl-C is a signal, as at a keyboard
        )
        os.close(slave)
        self._read = b""

    @property
    def text(self) -> str:
        """What was written so far."""
        return _CONTROL.sub("", self._read.decode(errors="replace"))

    def until(self, pattern: str) -> None:
        """Wait until what was written has a match; the command must not end before."""
        deadline = time.monotonic() + _END_SEC
        while not re.search(pattern, self.text):
            assert time.monotonic() < deadline, self.text
            assert self._more() or self._process.poll() is None or self._more(), self.text

    def type(self, keys: str) -> None:
        """Press keys; ``\\x03`` is Ctrl-C."""
        os.write(self._master, keys.encode())

    def end(self) -> tuple[int, str]:
        """Wait for the end: exit code and all that was written."""
        deadline = time.monotonic() + _END_SEC
        while self._more() or self._process.poll() is None:
            assert time.monotonic() < deadline, self.text
        while self._more():  # what it wrote between the last look and its end
            pass
        return self._process.wait(), self.text

    def close(self) -> None:
        """End the command where it is still there."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)
        os.close(self._master)

    def _more(self) -> bool:
        """Read what there is; whether there was something."""
        ready, _, _ = select.select([self._master], [], [], 0.1)
        if not ready:
            return False
        try:
            found = os.read(self._master, 1 << 16)
        except OSError:  # Linux's way to say that nobody writes to it any more
            return False
        self._read += found
        return bool(found)


@contextlib.contextmanager
def at_terminal(*arguments: str, cwd: Path, **environment: str) -> Iterator[Terminal]:
    """``emotions`` with arguments, in a folder."""
    terminal = Terminal([sys.executable, "-m", "emotions.cli", *arguments], cwd, environment)
    try:
        yield terminal
    finally:
        terminal.close()


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
