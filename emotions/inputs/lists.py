"""Lists of recordings: one path or URL a line, or tables with a row for each recording or segment."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import IO

from emotions.errors import DataError
from emotions.inputs.columns import FILE, no_file_column
from emotions.inputs.input_file import STANDARD_INPUT, InputFile, is_url
from emotions.inputs.locate import locate_recording
from emotions.inputs.parquet_audio import table_of
from emotions.inputs.tables import Row, TableRow, iter_table, seconds
from emotions.inputs.text_encoding import MAX_TEXT_BYTES, marked_encoding

_BLOCK_BYTES = 1 << 20
_SHOWN = 3
"""Faults of a table that an error names."""


def read_list(name: str) -> list[InputFile]:
    """The files of a list, in its order, doubles kept; ``-`` is standard input.

    Names end with a new line, or with NUL where the list holds one (``find -print0``), so that a name may hold a new
    line. Relative ones start from the working directory. A byte order mark is no part of the first name; a name with
    backslashes, or in Windows-1252, stands for the file that is there.
    """
    try:
        with nullcontext(sys.stdin.buffer) if name == STANDARD_INPUT else Path(name).open("rb") as stream:
            content = b"".join(_blocks(stream))
    except OSError as error:
        raise DataError(f"{name}: cannot be read ({error.strerror})") from error
    if len(content) > MAX_TEXT_BYTES:
        raise DataError(f"{name}: is larger than {MAX_TEXT_BYTES >> 30} GiB, the most that is read; split it")
    return [InputFile(_there(text), text) for text in _names(content, name)]


def _blocks(stream: IO[bytes]) -> Iterator[bytes]:
    """What a list holds, up to a byte more than it may: to read that at once would take the memory for it first."""
    left = MAX_TEXT_BYTES + 1
    while block := stream.read(min(left, _BLOCK_BYTES)):
        left -= len(block)
        yield block


def _names(content: bytes, where: str) -> Sequence[str]:
    """The names of a list, bytes that are no UTF-8 as ``os.fsdecode`` has them."""
    if encoding := marked_encoding(content[:4]):
        try:
            content = os.fsencode(content.decode(encoding))
        except UnicodeError as error:
            raise DataError(f"{where}: its text cannot be decoded ({error}); save the list as UTF-8") from error
    names = content.split(b"\0") if b"\0" in content else (line.rstrip(b"\r") for line in content.split(b"\n"))
    return [name for name in map(os.fsdecode, names) if name.strip()]


def _there(text: str) -> str:
    """A name as it stands, unless another form of it is what is there."""
    if is_url(text) or (text.isascii() and "\\" not in text):
        return text
    return str(locate_recording(Path(), text) or text)


def read_segments(path: Path) -> list[InputFile]:
    """The recordings or segments of a table with ``file`` and optionally ``start`` and ``end``, in its order.

    Times are seconds, or durations as the tables of audformat have them. Relative paths start from the table's folder.
    A Parquet table may hold the recordings themselves. DataError names the columns where none is ``file``, and the
    first few rows that lack a file or have times that are none.
    """
    files: list[InputFile] = []
    faults: list[str] = []
    wrong = 0
    columns: set[str] = set()
    for row in iter_table(path):
        columns.update(row.columns)
        try:
            files.append(_segment(row, path.parent))
        except ValueError as error:
            wrong += 1
            faults += [f"row {row.number} {error}"] if wrong <= _SHOWN else []
    if columns and FILE not in columns:
        raise DataError(f"{path}: {no_file_column(columns)}")
    if faults:
        more = f" and {wrong - _SHOWN} more" if wrong > _SHOWN else ""
        raise DataError(f"{path}: {'; '.join(faults)}{more}")
    return files


def _segment(row: TableRow, folder: Path) -> InputFile:
    name = row.columns.get(FILE)
    if name is None:
        raise ValueError("has no file")
    start, end = _seconds(row.columns, "start"), _seconds(row.columns, "end")
    if not (start or 0.0) < (math.inf if end is None else end):
        raise ValueError(f"ends at {end} s, which is not after its start")
    if row.held:
        return InputFile(row.held, name, start, end, stamp=_stamp(table_of(row.held)))
    if is_url(name):
        return InputFile(name, name, start, end)
    there = None if name.isascii() and "\\" not in name else locate_recording(folder, name)
    return InputFile(str(there or folder / name), name, start, end)


def _stamp(table: Path) -> str:
    stat = table.stat()
    return f"{stat.st_size} {stat.st_mtime_ns}"


def _seconds(row: Row, column: str) -> float | None:
    text = row.get(column)
    if text is None:
        return None
    try:
        found = seconds(text)
    except ValueError:
        found = math.nan
    if not 0 <= found < math.inf:
        raise ValueError(f"has {column} {text!r}, which is no number of seconds")
    return found
