"""Tables of predictions in Parquet: a file, or a folder of files, written and joined in row groups."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from emotions.errors import OutputExists
from emotions.files import atomic_folder
from serving.tables.columns import Columns, Row, Write

_ROWS_IN_GROUP = 10_000
"""Rows of one Parquet row group: what is held in memory."""
_PARTS_IN_FILE = 64
"""Chunks that share a file of a partitioned table."""
_FILES = "part-*.parquet"


@contextlib.contextmanager
def open_parquet(path: Path, names: Columns) -> Iterator[Write]:
    """Give a function that writes one row to a file."""
    import pyarrow
    from pyarrow import parquet

    schema = schema_of(names)
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


def schema_of(names: Columns) -> Any:
    """The Arrow schema of a table's columns."""
    import pyarrow

    types = {str: pyarrow.string(), float: pyarrow.float64(), list: pyarrow.list_(pyarrow.float32())}
    return pyarrow.schema([(name, types[kind]) for name, kind in names.items()])


def join_parquet(
    parts: Sequence[Path], path: Path, names: Columns, convert: Callable[[Any], Any] | None = None
) -> None:
    """Join files to one at ``path``, with row groups of ``_ROWS_IN_GROUP`` rows and more.

    Args:
        parts: files with the columns ``names``.
        path: the file to write.
        names: the columns.
        convert: makes another table of the rows of a group.
    """
    from pyarrow import parquet

    convert = convert or (lambda table: table)
    groups = _groups(parts, schema_of(names))
    first = convert(next(groups))
    with parquet.ParquetWriter(path, first.schema) as writer:
        writer.write_table(first)
        for table in groups:
            writer.write_table(convert(table))


def _groups(parts: Sequence[Path], schema: Any) -> Iterator[Any]:
    """The rows of all parts in tables of ``_ROWS_IN_GROUP`` rows and more, but for the last; at least one."""
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
    """Join parts to a folder of Parquet files, ``part-00000.parquet`` and so on; what is there is replaced."""
    with replaced_folder(path) as folder:
        for number, at in enumerate(range(0, len(parts), _PARTS_IN_FILE)):
            join_parquet(parts[at : at + _PARTS_IN_FILE], folder / f"part-{number:05}.parquet", names)


@contextlib.contextmanager
def replaced_folder(path: Path) -> Iterator[Path]:
    """Give a folder to fill; it takes the place of ``path`` when it is whole."""
    new = path.with_name(f".{path.name}.partial") / "joined"
    shutil.rmtree(new, ignore_errors=True)
    with atomic_folder(new) as temporary:
        yield temporary
    if path.exists():
        shutil.rmtree(path)
    new.rename(path)


def check_folder(path: Path, wanted: Sequence[str] = (_FILES,)) -> None:
    """Refuse to replace a folder that holds anything but a table.

    Raises:
        OutputExists: it does, such as the recordings themselves.
    """
    for entry in path.iterdir() if path.is_dir() else ():
        if not any(entry.match(pattern) for pattern in wanted):
            raise OutputExists(f"{path}: is a folder that holds other things ({entry.name}); name another output")
