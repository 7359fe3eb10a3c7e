"""Tables in Parquet, those with recordings inside included: each record without the recordings' bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emotions.errors import DataError
from emotions.inputs.columns import FILE, file_columns
from emotions.inputs.csv_tables import CELL_LIMIT
from emotions.inputs.parquet_audio import audio_column, audio_url, check_group, is_bytes, opened_parquet

_BATCH_ROWS = 1024


@dataclass(frozen=True, slots=True)
class Held:
    """A recording that a table holds: its name, and the URL to read it by."""

    name: str
    url: str

    def __str__(self) -> str:
        return self.name


def parquet_records(path: Path) -> Iterator[Mapping[str, Any]]:
    """The records of a Parquet table; ``file`` is a ``Held`` where the table has the bytes of the recording.

    Columns of classes, as the ``datasets`` library of Hugging Face writes them, have their names instead of numbers.
    Raises as ``tables.iter_table``.
    """
    with opened_parquet(path) as file:
        schema = file.schema_arrow
        try:
            audio = audio_column(schema)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        names = _class_names(schema)
        for group in range(file.num_row_groups):
            check_group(file.metadata.row_group(group), path)
            yield from _group_records(file, path, group, audio, names)


def _group_records(
    file: Any, path: Path, group: int, audio: tuple[str, str | None] | None, names: Mapping[str, list[str]]
) -> Iterator[Mapping[str, Any]]:
    column, named = audio or ("", None)
    holder = column.removesuffix(".bytes")
    columns = [field.name for field in file.schema_arrow if field.name != holder and not is_bytes(field.type)]
    naming = file_columns(columns)
    called = naming[0] if len(naming) == 1 else FILE
    empty = not audio or _all_null(file.metadata.row_group(group), column)
    base = 0
    for batch in _batches(file, group, [*columns, *([named] if named else [])], path):
        for row, record in enumerate(batch, base):
            path_inside = (record.pop(holder, None) or {}).get("path") if named else None
            for name, labels in names.items():
                record[name] = _label(record.get(name), labels)
            if audio and not empty:
                name = path_inside or record.get(called) or f"{path.stem}/{group:04}-{row:06}"
                record[FILE] = Held(str(name), audio_url(path, column, group, row))
            elif path_inside:
                record[FILE] = path_inside
            yield record
        base += len(batch)


def _batches(file: Any, group: int, columns: list[str], path: Path) -> Iterator[list[dict[str, Any]]]:
    if not columns:  # nothing but the recordings
        yield [{} for _ in range(file.metadata.row_group(group).num_rows)]
        return
    for batch in file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=columns):
        for name, array in zip(batch.schema.names, batch.columns, strict=True):
            if _longest(array) > CELL_LIMIT:
                raise DataError(f"{path}: the column {name!r} has a value of more than {CELL_LIMIT:,} bytes")
        yield batch.to_pylist()


def _longest(array: Any) -> int:
    """Bytes of the longest text of a column; 0 for a column of something else."""
    from pyarrow import compute, types

    values = array.dictionary if types.is_dictionary(array.type) else array
    if not (types.is_string(values.type) or types.is_large_string(values.type)) or not len(values):
        return 0
    return int(compute.max(compute.binary_length(values)).as_py() or 0)


def _all_null(group: Any, column: str) -> bool:
    """Whether a row group has no recording at all, as far as its statistics say."""
    for index in range(group.num_columns):
        chunk = group.column(index)
        if chunk.path_in_schema == column and chunk.statistics is not None and chunk.statistics.has_null_count:
            return bool(chunk.statistics.null_count == group.num_rows)
    return False


def _class_names(schema: Any) -> dict[str, list[str]]:
    """Names of the classes of each column that the Hugging Face metadata of a table describes as classes."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        described = {name: feature for name, feature in features.items() if feature.get("_type") == "ClassLabel"}
        return {name: [str(each) for each in feature["names"]] for name, feature in described.items()}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def _label(value: Any, labels: list[str]) -> Any:
    return (labels[value] if 0 <= value < len(labels) else None) if isinstance(value, int) else value
