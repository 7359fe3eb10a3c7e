"""Tables of separated values: CSV and TSV as spreadsheets, pandas and Python's ``csv`` module write them."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import IO, Any

from emotions.errors import DataError
from emotions.inputs.columns import names_the_file
from emotions.inputs.text_encoding import text_encoding

CELL_LIMIT = 1 << 20
"""Most characters of one cell."""
LINE_LIMIT = 1 << 24
"""Most characters of one line."""

_MAX_COLUMNS = 10_000
_DELIMITERS = ",;\t|"
_SAMPLE = 50
"""Records that the delimiter is told by."""
_DIRECTIVE = re.compile(r'"?sep=(.)"?[\r\n]*', re.IGNORECASE)

Cells = Sequence[str]


def csv_records(path: Path) -> Iterator[Mapping[str, Any]]:
    """The records of a table in CSV or TSV, a blank line as an empty one.

    The delimiter is a comma, semicolon, tab or vertical bar, whichever gives a column that names recordings and rows
    as long as the header; or what the line ``sep=;`` of a spreadsheet says. Raises as ``tables.iter_table``.
    """
    csv.field_size_limit(CELL_LIMIT)
    with path.open(encoding=text_encoding(path), newline="") as stream:
        try:
            yield from _records(path, _reader(path, stream))
        except csv.Error as error:
            raise DataError(f"{path}: is not a table ({error})") from error


def bounded_lines(stream: IO[str], path: Path) -> Iterator[str]:
    """The lines of a text file; DataError where one has more than ``LINE_LIMIT`` characters.

    Args:
        stream: the opened file.
        path: its name, for messages.
    """
    while line := stream.readline(LINE_LIMIT):
        if len(line) == LINE_LIMIT and line[-1] not in "\r\n":
            raise DataError(f"{path}: has a line of more than {LINE_LIMIT:,} characters; this is no table that we read")
        yield line


def _reader(path: Path, stream: IO[str]) -> Any:
    """A csv reader that stands before the header."""
    first = stream.readline(LINE_LIMIT)
    start = 0
    if directive := _DIRECTIVE.fullmatch(first):
        start = stream.tell()
        first = stream.readline(LINE_LIMIT)
    quote = "'" if first.startswith("'") else '"'

    def reader(delimiter: str) -> Any:
        stream.seek(start)
        lines = bounded_lines(stream, path)
        return csv.reader(lines, delimiter=delimiter, quotechar=quote, strict=True, skipinitialspace=True)

    if directive:
        return reader(directive[1])
    order = "\t,;|" if path.suffix.lower() == ".tsv" else _DELIMITERS
    fits: dict[str, tuple[bool, bool, bool, int]] = {}
    for delimiter in order:
        with suppress(csv.Error):
            fits[delimiter] = _fit(islice(reader(delimiter), _SAMPLE))
    several = [delimiter for delimiter, (*_, columns) in fits.items() if columns > 1]
    return reader(max(several, key=lambda each: fits[each]) if several else order[0])


def _fit(records: Iterable[Cells]) -> tuple[bool, bool, bool, int]:
    """How well a delimiter fits: the larger the better."""
    header, *rows = [record for record in records if any(cell.strip() for cell in record)] or [[]]
    names = any(names_the_file(name) for name in header)
    longest = max((len(_trimmed(row)) for row in rows), default=0)
    return names, longest <= len(header), all(len(row) == len(header) for row in rows), len(header)


def _trimmed(cells: Cells) -> Cells:
    """Cells without the empty ones at their end."""
    end = len(cells)
    while end and not cells[end - 1].strip():
        end -= 1
    return cells[:end]


def _records(path: Path, lines: Any) -> Iterator[Mapping[str, Any]]:
    header = next((_trimmed([name.strip() for name in cells]) for cells in lines if any(map(str.strip, cells))), [])
    if len(header) > _MAX_COLUMNS:
        raise DataError(f"{path}: has {len(header)} columns, at most {_MAX_COLUMNS} are read")
    seen: set[str] = set()
    for name in filter(None, header):
        if name in seen:
            raise DataError(f"{path}: the column {name!r} stands twice in the header")
        seen.add(name)
    for cells in lines:
        if len(cells) > len(header) and len(cells := _trimmed(cells)) > len(header):
            raise DataError(
                f"{path}:{lines.line_num}: has {len(cells)} cells, the header names {len(header)} columns "
                f"({', '.join(header[:20])}); put cells with the delimiter in double quotes"
            )
        yield {name: cell for name, cell in zip(header, cells, strict=False) if name}
