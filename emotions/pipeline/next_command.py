"""The line that names the command to go on with."""

from __future__ import annotations

import shlex
from pathlib import Path


def next_command(*words: str | Path) -> str:
    """``next: emotions ...``, ready to be pasted; a path below the working directory is written from there.

    Args:
        words: command, options and paths.
    """
    here = Path.cwd()
    written = [
        word.relative_to(here) if isinstance(word, Path) and word.is_relative_to(here) else word for word in words
    ]
    return f"next: {shlex.join(['emotions', *map(str, written)])}"
