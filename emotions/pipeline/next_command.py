"""The line that names the command to go on with."""

from __future__ import annotations

import shlex
from pathlib import Path

from emotions.files.from_here import from_here


def next_command(*words: str | Path) -> str:
    """``next: emotions ...``, ready to be pasted; a path below the working directory is written from there.

    Args:
        words: command, options and paths.
    """
    written = [from_here(word) if isinstance(word, Path) else word for word in words]
    return f"next: {shlex.join(['emotions', *map(str, written)])}"
