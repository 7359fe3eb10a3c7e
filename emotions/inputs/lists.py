"""Lists of recordings: one path or URL a line, or tables with a row for each recording or segment."""

from __future__ import annotations

import math
import os
import re
import sys
from pathlib import Path

from emotions.errors import DataError
from emotions.inputs.input_file import STANDARD_INPUT, InputFile, is_url
from emotions.inputs.tables import Row, iter_table

_CLOCK = re.compile(r"(?:(\d+) days?,? )?(\d+):(\d\d):(\d\d(?:\.\d+)?)")
_SHOWN = 3
"""Faults of a table that an error names."""


def read_list(name: str) -> list[InputFile]:
    """The files of a list, in its order, doubles kept; ``-`` is standard input.

    Names end with a new line, or with NUL where the list holds one (``find -print0``), so that a name may hold a new
    line. Relative ones start from the working directory.
    """
    try:
        content = sys.stdin.buffer.read() if name == STANDARD_INPUT else Path(name).read_bytes()
    except OSError as error:
        raise DataError(f"{name}: cannot be read ({error.strerror})") from error
    names = content.split(b"\0") if b"\0" in content else (line.rstrip(b"\r") for line in content.split(b"\n"))
    texts = (os.fsdecode(each) for each in names if each.strip())
    return [InputFile(text, text) for text in texts]


def read_segments(path: Path) -> list[InputFile]:
    """The recordings or segments of a table with ``file`` and optionally ``start`` and ``end``, in its order.

    Times are seconds, or durations as the tables of audformat have them. Relative paths start from the table's folder.
    DataError names the first few rows that lack ``file`` or have times that are none.
    """
    files: list[InputFile] = []
    faults: list[str] = []
    for number, row in enumerate(iter_table(path), 1):
        try:
            files.append(_segment(row, path.parent))
        except ValueError as error:
            faults.append(f"row {number} {error}")
    if faults:
        more = f" and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise DataError(f"{path}: {'; '.join(faults[:_SHOWN])}{more}")
    return files


def _segment(row: Row, folder: Path) -> InputFile:
    name = row.get("file")
    if name is None:
        raise ValueError("has no file")
    start, end = _seconds(row, "start"), _seconds(row, "end")
    if not (start or 0.0) < (math.inf if end is None else end):
        raise ValueError(f"ends at {end} s, which is not after its start")
    return InputFile(name if is_url(name) else str(folder / name), name, start, end)


def _seconds(row: Row, column: str) -> float | None:
    text = row.get(column)
    if text is None:
        return None
    try:
        seconds = _number(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ValueError(f"has {column} {text!r}, which is no number of seconds")
    return seconds


def _number(text: str) -> float:
    """Seconds, as a number or, as tables of audformat have them, as days, hours, minutes and seconds."""
    clock = _CLOCK.fullmatch(text)
    if clock is None:
        return float(text)
    days, hours, minutes, seconds = (float(part or 0) for part in clock.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
