"""Recordings inside a Parquet table: a column of bytes, or of structures with ``bytes`` and ``path``.

A recording is named by a URL, ``parquet:///data/train.parquet?column=audio.bytes&group=0&row=17``, so that it can be a
row of a list, be sent to another process, and be read when its turn comes. Rows are read in their order, a few at a
time; the last ones are kept, because threads ask for them nearly in order.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from emotions.errors import DataError, TooLong, first_line

SCHEME = "parquet://"
MAX_BYTES = 1 << 30
"""Largest recording in a table."""

_BATCH_ROWS = 8
_KEPT_BYTES = 128 << 20
_KEPT_GROUPS = 4
_MAX_COLUMN_BYTES = 64 << 30  # of one row group
_BUFFER_BYTES = 1 << 20


def audio_url(path: Path, column: str, group: int, row: int) -> str:
    """The URL of a recording in a table.

    Args:
        path: the table.
        column: the column of bytes; ``audio.bytes`` is a member of a structure.
        group: index of the row group.
        row: index of the row in its group.
    """
    return f"{SCHEME}{quote(str(path.absolute()))}?{urlencode({'column': column, 'group': group, 'row': row})}"


def table_of(url: str) -> Path:
    """The table that holds the recording of a URL."""
    return Path(unquote(urlsplit(url).path))


def fetch_audio(url: str) -> bytes:
    """The bytes of a recording in a table; TooLong above ``MAX_BYTES``, OSError where there is no such recording."""
    query = parse_qs(urlsplit(url).query)
    try:
        column, group, row = query["column"][0], int(query["group"][0]), int(query["row"][0])
    except (KeyError, ValueError) as error:
        raise OSError(f"{url}: is no recording in a table") from error
    content = _GROUPS.get(table_of(url), column, group).row(row)
    if len(content) > MAX_BYTES:
        raise TooLong(f"holds more than {MAX_BYTES >> 20} MiB, which is the most that is read")
    return content


class _Group:
    """The recordings of one row group, read forwards; the last ones are kept."""

    def __init__(self, path: Path, column: str, group: int) -> None:
        self._path, self._column, self._group = path, column, group
        self._lock = threading.Lock()
        self._rewind()

    def _rewind(self) -> None:
        self._next = 0
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._kept_bytes = 0
        self._rows = self._read()

    def row(self, index: int) -> bytes:
        """The bytes of a row, empty where it has none."""
        with self._lock:
            if index < self._next and index not in self._kept:
                self._rewind()
            while self._next <= index:
                content = next(self._rows, None)
                if content is None:
                    raise OSError(f"{self._path}: has no row {index} in its row group {self._group}")
                self._keep(self._next, content)
                self._next += 1
            return self._kept[index]

    def _keep(self, index: int, content: bytes) -> None:
        self._kept[index] = content
        self._kept_bytes += len(content)
        while self._kept_bytes > _KEPT_BYTES and len(self._kept) > 1:
            self._kept_bytes -= len(self._kept.popitem(last=False)[1])

    def _read(self) -> Iterator[bytes]:
        import pyarrow
        import pyarrow.parquet

        try:
            with pyarrow.parquet.ParquetFile(self._path, buffer_size=_BUFFER_BYTES) as file:
                if not 0 <= self._group < file.num_row_groups:
                    return
                check_group(file.metadata.row_group(self._group), self._path)
                parts = self._column.split(".")
                for batch in file.iter_batches(_BATCH_ROWS, row_groups=[self._group], columns=[self._column]):
                    array = batch.column(0)
                    for part in parts[1:]:
                        array = array.field(part) if pyarrow.types.is_struct(array.type) else array
                    yield from (value.as_py() or b"" for value in array)
        except (pyarrow.ArrowException, KeyError, IndexError) as error:
            raise OSError(f"{self._path}: cannot be read ({first_line(error)})") from error


class _Groups:
    """The row groups that are being read in this process."""

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[Path, str, int], _Group] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: Path, column: str, group: int) -> _Group:
        """A row group, opened where it is not yet; of many the one that was used longest ago is closed."""
        key = (path, column, group)
        with self._lock:
            if key not in self._open:
                self._open[key] = _Group(path, column, group)
            self._open.move_to_end(key)
            while len(self._open) > _KEPT_GROUPS:
                self._open.popitem(last=False)
            return self._open[key]


_GROUPS = _Groups()


def audio_column(schema: Any) -> tuple[str, str | None] | None:
    """The column of a table that holds recordings, and the one that names them: ``("audio.bytes", "audio.path")``.

    None where no column holds bytes; DataError where several do and none is called ``audio`` or ``file``.
    """
    from pyarrow import types

    found: dict[str, tuple[str, str | None]] = {}
    for field in schema:
        if is_bytes(field.type):
            found[field.name] = (field.name, None)
        elif types.is_struct(field.type):
            members = {member.name: member.type for member in field.type}
            if "bytes" in members and is_bytes(members["bytes"]):
                found[field.name] = (f"{field.name}.bytes", f"{field.name}.path" if "path" in members else None)
    if len(found) > 1:
        chosen = [found[name] for name in ("audio", "file") if name in found]
        if not chosen:
            raise DataError(f"several columns hold bytes: {', '.join(found)}; call that of the recordings 'audio'")
        return chosen[0]
    return next(iter(found.values()), None)


def is_bytes(kind: Any) -> bool:
    """Whether a column of this Arrow type holds bytes."""
    from pyarrow import types

    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def check_group(group: Any, path: Path) -> None:
    """Refuse a row group one of whose columns is too large.

    Args:
        group: its metadata, as pyarrow has it.
        path: the table, for messages.
    """
    for index in range(group.num_columns):
        if group.column(index).total_uncompressed_size > _MAX_COLUMN_BYTES:
            raise DataError(f"{path}: has a row group of more than {_MAX_COLUMN_BYTES >> 30} GiB; write smaller ones")


@contextlib.contextmanager
def opened_parquet(path: Path) -> Iterator[Any]:
    """Open a Parquet table with its strings as dictionaries, so that a repeated long string is in memory once."""
    import pyarrow
    import pyarrow.parquet
    from pyarrow import types

    try:
        schema = pyarrow.parquet.read_schema(path)
        texts = [field.name for field in schema if types.is_string(field.type) or types.is_large_string(field.type)]
        with pyarrow.parquet.ParquetFile(path, read_dictionary=texts, buffer_size=_BUFFER_BYTES) as file:
            yield file
    except pyarrow.ArrowException as error:
        raise DataError(f"{path}: is not a Parquet table ({first_line(error)})") from error
