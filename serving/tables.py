"""Tables of predictions: CSV (RFC 4180), JSON lines or Parquet, one row a file or a window, written as the rows come.

file, start, end            name relative to the input folder (POSIX), and seconds
<target>                    the most probable label, one column a target
<target>.<label>            its probability, to six significant digits
confidence, duration        probability of the first target's label, and seconds of the recording or segment
embedding                   if asked for: what the model's last layers hear, the mean over the windows of a file's row
error                       "code: message" where the file failed; then all but ``file`` and a segment's times is empty

An output without an ending is a folder of Parquet files, ``part-00000.parquet`` and so on.
"""

from __future__ import annotations

import contextlib
import csv
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from emotions.bundle import EMBEDDING
from emotions.errors import ConfigError, MissingExtra, OutputExists
from emotions.files import atomic_file, atomic_folder
from emotions.folder import FileResult

Targets = Mapping[str, Sequence[str]]
"""Labels of each target, in output order."""
Row = dict[str, str | float | list[float] | None]
"""Column -> value; None for an empty one. The columns are in the table's order."""
Write = Callable[[Row], object]
Columns = dict[str, type[str] | type[float] | type[list[float]]]
"""Column -> its type, in the order of the table."""
Writer = Callable[[Path, Columns], contextlib.AbstractContextManager[Write]]

_ROWS_IN_GROUP = 10_000
"""Rows of one Parquet row group: what is held in memory."""
_PARTS_IN_FILE = 64
"""Chunks that share a file of a partitioned table."""


def columns(targets: Targets, *, embeddings: bool = False) -> Columns:
    """Columns of a table, in order, with their types."""
    probabilities = [f"{target}.{label}" for target, labels in targets.items() for label in labels]
    return {
        "file": str,
        **dict.fromkeys(("start", "end"), float),
        **dict.fromkeys(targets, str),
        **dict.fromkeys(probabilities, float),
        **dict.fromkeys(("confidence", "duration"), float),
        **({EMBEDDING: list} if embeddings else {}),
        "error": str,
    }


def row(result: FileResult, targets: Targets) -> Row:
    """What became of one file as a row with every column; seconds, and probabilities to six significant digits."""
    return next(rows(result, dict.fromkeys(columns(targets))))


def rows(result: FileResult, blank: Row, *, windows: bool = False) -> Iterator[Row]:
    """What became of one file as rows.

    Args:
        result: a prediction or an error.
        blank: every column of the table, without a value.
        windows: one row a window, with its start and end in the recording, rather than one for the whole.
    """
    # A name that is not UTF-8 on disk keeps its odd bytes as \udcXX.
    name = result.name if result.name.isascii() else result.name.encode("utf-8", "backslashreplace").decode()
    prediction = result.prediction
    if prediction is None:
        error = f"{result.code}: {result.error}"
        yield {**blank, "file": name, "start": result.start, "end": result.end, "error": error}
        return
    first = result.start or 0.0
    spans = [(0.0, prediction.duration_sec, prediction.probabilities)]
    if windows:
        spans = [(window.start, window.end, window.probabilities) for window in prediction.windows]
    for index, (start, end, probabilities) in enumerate(spans):
        cells = {**blank, "file": name, "start": first + start, "end": first + end, "duration": prediction.duration_sec}
        _fill(cells, probabilities)
        if EMBEDDING in blank and result.embedding is not None:
            heard = result.embedding[index] if windows else result.embedding.mean(axis=0)
            cells[EMBEDDING] = [_rounded(value) for value in heard.tolist()]
        yield cells


def _fill(cells: Row, probabilities: Mapping[str, Mapping[str, float]]) -> None:
    """Add the labels and their probabilities."""
    for target, scores in probabilities.items():
        label = max(scores, key=scores.__getitem__)
        cells[target] = label
        if cells["confidence"] is None:
            cells["confidence"] = _rounded(scores[label])
        for each, score in scores.items():
            cells[f"{target}.{each}"] = _rounded(score)


def _rounded(probability: float) -> float:
    return float(f"{probability:.6g}")


def part_ending(path: Path) -> str:
    """The ending of the parts of a table: its own, or Parquet's where the table is a folder."""
    return path.suffix.lower() or _PARQUET


def check_ending(path: Path) -> None:
    """Refuse a table that could not be written, before anything is computed.

    Raises:
        ConfigError: its ending is none of the known ones.
        OutputExists: it is a folder where a file is to be, or the other way round.
        MissingExtra: the package that writes it is not installed.
    """
    if part_ending(path) not in _WRITERS:
        raise ConfigError(f"{path}: a table ends with {', '.join(_WRITERS)}, or is a folder of Parquet files")
    if part_ending(path) == _PARQUET and find_spec("pyarrow") is None:
        raise MissingExtra("serve", "pyarrow")
    if path.suffix and path.is_dir():
        raise OutputExists(f"{path}: is a folder; name another output")
    if not path.suffix and path.is_file():
        raise OutputExists(f"{path}: is a file, and a table without an ending is a folder; name another output")


@contextlib.contextmanager
def open_table(path: Path, targets: Targets) -> Iterator[Write]:
    """Give a function that writes one row; the table takes its place at ``path`` when the block succeeds.

    Args:
        path: ends with ``.csv``, ``.jsonl`` or ``.parquet``; what is there is replaced.
        targets: labels of each target.
    """
    names = columns(targets)
    with atomic_file(path) as temporary, _WRITERS[path.suffix.lower()](temporary, names) as write:
        if path.suffix.lower() == _CSV:
            write({name: name for name in names})
        yield write


@contextlib.contextmanager
def open_part(path: Path, names: Columns) -> Iterator[Write]:
    """As ``open_table``, for a part of a table: a CSV part has no header."""
    with atomic_file(path) as temporary, _WRITERS[path.suffix](temporary, names) as write:
        yield write


def join_parts(parts: Sequence[Path], path: Path, names: Columns) -> None:
    """Join parts to a table at ``path``; what is there is replaced when the table is whole."""
    if path.suffix:
        with atomic_file(path) as temporary:
            _JOINERS[path.suffix.lower()](parts, temporary, names)
        return
    new = path.with_name(f".{path.name}.partial") / "joined"
    shutil.rmtree(new, ignore_errors=True)
    with atomic_folder(new) as temporary:
        for number, at in enumerate(range(0, len(parts), _PARTS_IN_FILE)):
            _join_parquet(parts[at : at + _PARTS_IN_FILE], temporary / f"part-{number:05}.parquet", names)
    if path.exists():
        shutil.rmtree(path)
    new.rename(path)


@contextlib.contextmanager
def _csv(path: Path, _: Columns) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        yield lambda cells: writer.writerow(cells.values())


@contextlib.contextmanager
def _jsonl(path: Path, _: Columns) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        yield lambda cells: stream.write(json.dumps(cells, ensure_ascii=False, allow_nan=False) + "\n")


@contextlib.contextmanager
def _parquet(path: Path, names: Columns) -> Iterator[Write]:
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

    types = {str: pyarrow.string(), float: pyarrow.float64(), list: pyarrow.list_(pyarrow.float32())}
    return pyarrow.schema([(name, types[kind]) for name, kind in names.items()])


def _join_csv(parts: Sequence[Path], path: Path, names: Columns) -> None:
    with _csv(path, names) as write:
        write({name: name for name in names})
    _append(parts, path)


def _join_jsonl(parts: Sequence[Path], path: Path, _: Columns) -> None:
    _append(parts, path)


def _append(parts: Sequence[Path], path: Path) -> None:
    with path.open("ab") as stream:
        for part in parts:
            with part.open("rb") as source:
                shutil.copyfileobj(source, stream)


def _join_parquet(parts: Sequence[Path], path: Path, names: Columns) -> None:
    """Join Parquet files, with row groups of ``_ROWS_IN_GROUP`` rows and more."""
    import pyarrow
    from pyarrow import parquet

    held: list[Any] = []
    with parquet.ParquetWriter(path, _schema(names)) as writer:
        for part in parts:
            held.append(parquet.read_table(part, partitioning=None))
            if sum(map(len, held)) >= _ROWS_IN_GROUP:
                writer.write_table(pyarrow.concat_tables(held).combine_chunks())
                held = []
        if held or not parts:
            writer.write_table(pyarrow.concat_tables(held or [_schema(names).empty_table()]).combine_chunks())


_CSV, _PARQUET = ".csv", ".parquet"
_WRITERS: dict[str, Writer] = {_CSV: _csv, ".jsonl": _jsonl, _PARQUET: _parquet}
_JOINERS = {_CSV: _join_csv, ".jsonl": _join_jsonl, _PARQUET: _join_parquet}
