"""Tables: CSV, TSV, JSON Lines and Parquet to rows of text."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from emotions.errors import ConfigError, DataError, first_line
from emotions.files import parse_json

Row = Mapping[str, str]
"""Column to value, both stripped; empty values are left out."""

_CELL_LIMIT = 1 << 20


def read_table(path: Path) -> list[Row]:
    """The rows of a table, every value as text: ``03`` stays ``03``; DataError where it is no such table."""
    return [*iter_table(path)]


def iter_table(path: Path) -> Iterator[Row]:
    """The rows of a table as they are read. Raises as ``read_table`` does."""
    return (clean(record) for record in _records(path))


def table_header(path: Path) -> set[str]:
    """The columns that a table's first row has. Raises as ``read_table`` does."""
    return {str(name).strip() for record in islice(_records(path), 1) for name in record}


def clean(record: Mapping[str, Any]) -> Row:
    """A record as text, without the values that are empty."""
    texts = ((str(name).strip(), text(value)) for name, value in record.items())
    return {name: value for name, value in texts if value}


def text(value: Any) -> str:
    """A value as text: null, NaN and raw bytes as nothing, booleans and nested values as JSON writes them."""
    if value is None or isinstance(value, bytes) or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool | list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value).strip()


def _records(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        yield from _READERS[path.suffix.lower()](path)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text; save the table as UTF-8") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def _csv(path: Path) -> Iterator[Mapping[str, Any]]:
    csv.field_size_limit(_CELL_LIMIT)
    with path.open(encoding="utf-8-sig", newline="") as stream:
        header = stream.readline()
        # A spreadsheet's locale may choose another separator than the comma.
        delimiter = "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=header.count)
        stream.seek(0)
        try:
            yield from _csv_records(path, csv.reader(stream, delimiter=delimiter, strict=True))
        except csv.Error as error:
            raise DataError(f"{path}: is not a table ({error})") from error


def _csv_records(path: Path, lines: Any) -> Iterator[Mapping[str, Any]]:
    header = [name.strip() for name in next(lines, [])]
    twice = {name for name in header if name and header.count(name) > 1}
    if twice:
        raise DataError(f"{path}: the column {min(twice)!r} stands twice in the header")
    for cells in lines:
        if len(cells) > len(header):
            raise DataError(f"{path}:{lines.line_num}: has {len(cells)} cells, the header names {len(header)} columns")
        if cells:
            yield dict(zip(header, cells, strict=False))


def _jsonl(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open(encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                yield _json_record(line, f"{path}:{number}")


def _json_record(line: str, where: str) -> Mapping[str, Any]:
    try:
        record = parse_json(line, where)
    except ConfigError as error:
        raise DataError(str(error)) from error
    if not isinstance(record, dict):
        raise DataError(f"{where}: is not a JSON object, such as {{'file': 'a.wav', 'emotion': 'angry'}}")
    return record


def _parquet(path: Path) -> Iterator[Mapping[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                yield from batch.to_pylist()
    except pyarrow.ArrowException as error:
        raise DataError(f"{path}: is not a Parquet table ({first_line(error)})") from error


_READERS: dict[str, Callable[[Path], Iterator[Mapping[str, Any]]]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
}
TABLE_SUFFIXES = tuple(_READERS)
"""File name endings of the tables that are read."""
