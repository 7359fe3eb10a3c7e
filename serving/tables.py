"""Tables of predictions: CSV (RFC 4180), JSON lines or Parquet, one row a file, written as the rows come.

file, start, end            name relative to the input folder (POSIX), and seconds
<target>                    the most probable label, one column a target
<target>.<label>            its probability, to six significant digits
confidence, duration        probability of the first target's label, and seconds
error                       "code: message" where the file failed; then all but ``file`` is empty
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from emotions.errors import ConfigError, MissingExtra, OutputExists
from emotions.files import atomic_file
from emotions.folder import FileResult

Targets = Mapping[str, Sequence[str]]
"""Labels of each target, in output order."""
Row = dict[str, str | float | None]
"""Column -> value; None for an empty one."""
Write = Callable[[Row], object]
Columns = dict[str, type[str] | type[float]]
"""Column -> its type, in the order of the table."""
Writer = Callable[[Path, Columns], contextlib.AbstractContextManager[Write]]

_ROWS_IN_GROUP = 10_000
"""Rows of one Parquet row group: what is held in memory."""


def columns(targets: Targets) -> Columns:
    """Columns of a table, in order, with their types."""
    probabilities = [f"{target}.{label}" for target, labels in targets.items() for label in labels]
    return {
        "file": str,
        **dict.fromkeys(("start", "end"), float),
        **dict.fromkeys(targets, str),
        **dict.fromkeys(probabilities, float),
        **dict.fromkeys(("confidence", "duration"), float),
        "error": str,
    }


def row(result: FileResult, targets: Targets) -> Row:
    """What became of one file as a row with every column; seconds, and probabilities to six significant digits."""
    cells: Row = dict.fromkeys(columns(targets))
    # A name that is not UTF-8 on disk keeps its odd bytes as \udcXX.
    cells["file"] = result.name.encode("utf-8", "backslashreplace").decode()
    prediction = result.prediction
    if prediction is None:
        return {**cells, "error": f"{result.code}: {result.error}"}
    duration = prediction.duration_sec
    cells |= {"start": 0.0, "end": duration, "duration": duration, "confidence": _rounded(prediction.confidence)}
    for target, scores in prediction.probabilities.items():
        cells[target] = prediction.labels[target]
        cells |= {f"{target}.{label}": _rounded(score) for label, score in scores.items()}
    return cells


def _rounded(probability: float) -> float:
    return float(f"{probability:.6g}")


def check_table(path: Path, *, overwrite: bool) -> None:
    """Refuse a table that could not be written, before anything is computed.

    Raises:
        ConfigError: its ending is none of the known ones.
        OutputExists: it is there already and may not be replaced, or is a folder.
        MissingExtra: the package that writes it is not installed.
    """
    if path.suffix.lower() not in _WRITERS:
        raise ConfigError(f"{path}: a table ends with {', '.join(_WRITERS)}")
    if path.suffix.lower() == ".parquet" and find_spec("pyarrow") is None:
        raise MissingExtra("serve", "pyarrow")
    if path.is_dir():
        raise OutputExists(f"{path}: is a folder; name another output")
    if os.path.lexists(path) and not overwrite:
        raise OutputExists(f"{path}: is there already; name another output, or give --overwrite to replace it")


@contextlib.contextmanager
def open_table(path: Path, targets: Targets) -> Iterator[Write]:
    """Give a function that writes one row; the table takes its place at ``path`` when the block succeeds.

    Args:
        path: ends with ``.csv``, ``.jsonl`` or ``.parquet``; what is there is replaced.
        targets: labels of each target.
    """
    with atomic_file(path) as temporary, _WRITERS[path.suffix.lower()](temporary, columns(targets)) as write:
        yield write


@contextlib.contextmanager
def _csv(path: Path, names: Columns) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, names)
        writer.writeheader()
        yield writer.writerow


@contextlib.contextmanager
def _jsonl(path: Path, _: Columns) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        yield lambda cells: stream.write(json.dumps(cells, ensure_ascii=False, allow_nan=False) + "\n")


@contextlib.contextmanager
def _parquet(path: Path, names: Columns) -> Iterator[Write]:
    import pyarrow
    from pyarrow import parquet

    types = {str: pyarrow.string(), float: pyarrow.float64()}
    schema = pyarrow.schema([(name, types[kind]) for name, kind in names.items()])
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


_WRITERS: dict[str, Writer] = {".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet}
