"""Tables of predictions in Parquet: a file, or a folder of files, written and joined in row groups."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from emotions.errors import OutputExists
from emotions.files.atomic import atomic_folder
from serving.tables.columns import Columns, Row, Write

_ROWS_IN_GROUP = 10_000
"""Rows of one Parquet row group, which is held in memory."""
_PARTS_IN_FILE = 64
"""Chunks that share a file of a partitioned table."""


@contextlib.contextmanager
def open_parquet(path: Path, names: Columns) -> Iterator[Write]:
    """Give a function that writes one row to a file.

    Args:
        path: the file.
        names: its columns.
    """
    import pyarrow
    from pyarrow import parquet

    schema = _schema(names)
    group: list[Row] = []

    def flush() -> None:
        writer.write_table(pyarrow.Table.from_pylist(group, schema))
        group.clear()

    def write(cells: Row) -> None:
        group.append(cells)
        if len(group) == _ROWS_IN_GROUP:
            flush()

    with parquet.ParquetWriter(path, schema) as writer:
        yield write
        flush()


def _schema(names: Columns) -> Any:
    import pyarrow

    types = {
        str: pyarrow.string(),
        int: pyarrow.int64(),
        float: pyarrow.float64(),
        list: pyarrow.list_(pyarrow.float32()),
    }
    return pyarrow.schema([(name, types[kind]) for name, kind in names.items()])


def join_parquet(
    parts: Sequence[Path], path: Path, names: Columns, convert: Callable[[Any], Any] = lambda table: table
) -> None:
    """Join Parquet files to one, with row groups of at least ``_ROWS_IN_GROUP`` rows.

    Args:
        parts: files with the columns ``names``.
        path: the file to write.
        names: the columns.
        convert: maps the Arrow table of each row group to the one that is written.
    """
    from pyarrow import parquet

    groups = map(convert, _groups(parts, _schema(names)))
    first = next(groups)
    with parquet.ParquetWriter(path, first.schema) as writer:
        for table in chain([first], groups):
            writer.write_table(table)


def _groups(parts: Sequence[Path], schema: Any) -> Iterator[Any]:
    """The rows of all parts in tables of at least ``_ROWS_IN_GROUP`` rows, except the last; at least one table."""
    import pyarrow
    from pyarrow import parquet

    held: list[Any] = []
    for part in parts:
        held.append(parquet.read_table(part, partitioning=None))
        if sum(map(len, held)) >= _ROWS_IN_GROUP:
            yield pyarrow.concat_tables(held).combine_chunks()
            held = []
    if held or not parts:
        yield pyarrow.concat_tables(held or [schema.empty_table()]).combine_chunks()


def join_folder(parts: Sequence[Path], path: Path, names: Columns) -> None:
    """As ``join_parquet``, to a folder of fewer files: ``part-00000.parquet`` and so on. What is there is replaced."""
    with replaced_folder(path) as folder:
        for number, at in enumerate(range(0, len(parts), _PARTS_IN_FILE)):
            join_parquet(parts[at : at + _PARTS_IN_FILE], folder / f"part-{number:05}.parquet", names)


@contextlib.contextmanager
def replaced_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder; it takes the place of ``path`` when the block succeeds."""
    new = path.with_name(f".{path.name}.partial") / "joined"
    shutil.rmtree(new, ignore_errors=True)
    with atomic_folder(new) as temporary:
        yield temporary
    if path.exists():
        shutil.rmtree(path)
    new.rename(path)


def check_folder(path: Path, table_files: Sequence[str] = ("part-*.parquet",)) -> None:
    """Refuse to replace a folder that holds anything but a table, such as the recordings.

    Args:
        path: the folder, which need not exist.
        table_files: names or patterns of a table's files.
    """
    for entry in path.iterdir() if path.is_dir() else ():
        if not any(entry.match(pattern) for pattern in table_files):
            raise OutputExists(f"{path}: is a folder that holds other things ({entry.name}); name another output")
