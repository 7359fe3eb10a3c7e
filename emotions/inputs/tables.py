"""Tables: CSV, TSV, JSON Lines and Parquet to rows of text."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from emotions.errors import ConfigError, DataError, first_line
from emotions.files.json_text import parse_json
from emotions.inputs.columns import FILE, standard_names
from emotions.inputs.csv_tables import CELL_LIMIT, bounded_lines, csv_records
from emotions.inputs.parquet_tables import Held, parquet_records
from emotions.inputs.text_encoding import text_encoding

Row = Mapping[str, str]
"""Column to value, both stripped; empty values are left out."""

MAX_ROWS = 50_000_000
"""Most rows of a table."""
_COMMA = re.compile(r"\d+,\d+")
_CLOCK = re.compile(r"(?:(\d+) days?,? )?(\d+):(\d\d):(\d\d(?:\.\d+)?)")


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row of a table.

    Attributes:
        number: which row it is, from 1, the header not counted and blank rows counted.
        columns: the values; the column that names the recording is called ``file``.
        held: URL of the recording where the table itself holds it, else empty.
    """

    number: int
    columns: Row
    held: str = ""


def read_table(path: Path) -> list[TableRow]:
    """The rows of a table, every value as text: ``03`` stays ``03``; DataError where it is no such table."""
    return [*iter_table(path)]


def iter_table(path: Path) -> Iterator[TableRow]:
    """The rows of a table as they are read, blank ones left out. Raises as ``read_table`` does."""
    known: tuple[str, ...] | None = None
    names: Mapping[str, str] = {}
    for number, record in enumerate(_records(path), 1):
        if number > MAX_ROWS:
            raise DataError(f"{path}: has more than {MAX_ROWS:,} rows; split it")
        values = clean(record)
        if not values:
            continue
        if (columns := tuple(record)) != known:
            known, names = columns, standard_names({str(name).strip(): None for name in columns})
        held = record[FILE].url if isinstance(record.get(FILE), Held) else ""
        yield TableRow(number, {names.get(name, name): value for name, value in values.items()}, held)


def table_header(path: Path) -> set[str]:
    """The columns that a table's first row has. Raises as ``read_table`` does."""
    names = {str(name).strip(): None for record in islice(_records(path), 1) for name in record}
    return {standard_names(names).get(name, name) for name in names}


def clean(record: Mapping[str, Any]) -> Row:
    """A record as text, without the values that are empty."""
    texts = ((str(name).strip(), text(value)) for name, value in record.items())
    return {name: value for name, value in texts if value}


def text(value: Any) -> str:
    """A value as text: null, NaN and raw bytes as nothing, booleans and nested values as JSON writes them."""
    if isinstance(value, str):
        return value.strip()
    if value is None or isinstance(value, bytes) or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool | list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value).strip()


def seconds(value: str) -> float:
    """A time of a table in seconds: a number, or days, hours, minutes and seconds, as tables of audformat have them.

    Raises:
        ValueError: it is neither, or not finite.
    """
    clock = _CLOCK.fullmatch(value)
    if clock is None:
        number = float(value.replace(",", ".", 1) if _COMMA.fullmatch(value) else value)
    else:
        days, hours, minutes, secs = (float(part or 0) for part in clock.groups())
        number = ((days * 24 + hours) * 60 + minutes) * 60 + secs
    if not math.isfinite(number):
        raise ValueError(f"{value} is not a number of seconds")
    return number


def _records(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        yield from _READERS[path.suffix.lower()](path)
    except UnicodeError as error:
        raise DataError(f"{path}: its text cannot be decoded ({error}); save the table as UTF-8") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or first_line(error)})") from error


def _jsonl(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open(encoding=text_encoding(path)) as stream:
        for number, line in enumerate(bounded_lines(stream, path), 1):
            yield _json_record(line, f"{path}:{number}") if line.strip() else {}


def _json_record(line: str, where: str) -> Mapping[str, Any]:
    try:
        record = parse_json(line, where)
    except ConfigError as error:
        raise DataError(str(error)) from error
    if not isinstance(record, dict):
        raise DataError(f"{where}: is not a JSON object, such as {{'file': 'a.wav', 'emotion': 'angry'}}")
    if any(len(value) > CELL_LIMIT for value in record.values() if isinstance(value, str)):
        raise DataError(f"{where}: has a value of more than {CELL_LIMIT:,} characters")
    return record


_READERS: dict[str, Callable[[Path], Iterator[Mapping[str, Any]]]] = {
    ".csv": csv_records,
    ".tsv": csv_records,
    ".jsonl": _jsonl,
    ".parquet": parquet_records,
}
TABLE_SUFFIXES = tuple(_READERS)
"""File name endings of the tables that are read."""
