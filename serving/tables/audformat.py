"""Predictions as a database in audformat, which ``audformat.Database.load`` reads: an output that ends with .audformat.

It is a folder with a header, ``db.yaml``, and the table ``predictions`` in ``db.predictions.parquet``. The index is
``file``; with windows, or where a table of segments was classified, it is ``file``, ``start``, ``end``. Each target is
a column with a scheme of its labels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

from emotions.bundle.manifest import EMBEDDING, UNKNOWN, Bundle
from emotions.errors import DataError, MissingExtra
from emotions.inputs.input_file import InputFile
from serving.tables.columns import Columns
from serving.tables.parquet import check_folder, join_parquet, replaced_folder

_TABLE = "predictions"
_HEADER, _ROWS = "db.yaml", f"db.{_TABLE}.parquet"
_INDEX = ("file", "start", "end")
_TIMES = ("start", "end", "duration")
_RATER = "model"
_PROBABILITY = {"dtype": "float", "minimum": 0, "maximum": 1}
_SHARES = "confidence"  # the scheme of every probability; no target may have this name


def check_database(path: Path) -> None:
    """Refuse a database that could not be written.

    Raises:
        OutputExists: a folder with other things is in its place.
        MissingExtra: a package that writes it is not installed.
    """
    for package in ("pyarrow", "yaml"):
        if find_spec(package) is None:
            raise MissingExtra("serve", package)
    check_folder(path, (_HEADER, _ROWS))


def database_of(
    bundle: Bundle, files: Sequence[InputFile], *, windows: bool
) -> Callable[[Sequence[Path], Path, Columns], None]:
    """What joins Parquet parts (paths, the table's columns) to a database at a path, replaced when it is whole.

    Args:
        bundle: what classifies.
        files: what is classified.
        windows: rows are those of windows.

    Raises:
        DataError: a file or segment stands twice, or the windows of one would be those of another.
    """
    _check_index(files, windows=windows)
    segmented = windows or any(file.start is not None or file.end is not None for file in files)
    return partial(_join, bundle=bundle, segmented=segmented)


def _check_index(files: Sequence[InputFile], *, windows: bool) -> None:
    """Refuse files whose rows would have the same index, which audformat has no place for."""
    spans = sorted((file.name, file.start or 0.0, math.inf if file.end is None else file.end) for file in files)
    for (name, start, end), (following, later, last) in pairwise(spans):
        if name == following and ((start, end) == (later, last) or (windows and later < end)):
            how = "stands twice" if (start, end) == (later, last) else "has segments that overlap"
            raise DataError(f"{name}: {how}, which a table of audformat has no place for; write another format")


def _join(parts: Sequence[Path], path: Path, names: Columns, *, bundle: Bundle, segmented: bool) -> None:
    import yaml

    with replaced_folder(path) as folder:
        document = header(bundle.manifest.name, bundle.id, names, bundle.manifest.targets, segmented=segmented)
        text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
        (folder / _HEADER).write_text(text, encoding="utf-8")
        join_parquet(parts, folder / _ROWS, names, partial(_timed, segmented=segmented))


def header(
    name: str, source: str, names: Columns, targets: Mapping[str, Sequence[str]], *, segmented: bool
) -> dict[str, Any]:
    """The header of a database: a scheme for each target, one for all probabilities, and the columns that have them.

    Args:
        name: of the bundle.
        source: the bundle's id.
        names: columns of the table.
        targets: labels of each target.
        segmented: whether start and end are part of the index.
    """
    doubted = {f"{target}.{UNKNOWN}" for target in targets} & {name for name, kind in names.items() if kind is str}
    schemes: dict[str, dict[str, Any]] = {
        **{target: {"dtype": "str", "labels": [*labels]} for target, labels in targets.items()},
        _SHARES: _PROBABILITY,
        **({UNKNOWN: {"dtype": "str", "labels": ["yes", "no"]}} if doubted else {}),
        "duration": {"dtype": "time"},
        **({EMBEDDING: {"dtype": "object"}} if EMBEDDING in names else {}),
        "error": {"dtype": "str"},
    }
    columns = {
        column: {
            "scheme_id": UNKNOWN if column in doubted else column if column in schemes else _SHARES,
            "rater_id": _RATER,
        }
        for column in names
        if column not in _INDEX
    }
    kind = "segmented" if segmented else "filewise"
    return {
        "name": name,
        "description": "What a model says of recordings: labels and their probabilities.",
        "source": source,
        "usage": "other",
        "raters": {_RATER: {"type": "machine", "description": source}},
        "schemes": schemes,
        "tables": {_TABLE: {"type": kind, "columns": columns}},
    }


def _timed(table: Any, *, segmented: bool) -> Any:
    """A table whose seconds are durations in nanoseconds; without start and end where they are no part of the index."""
    import pyarrow
    from pyarrow import compute

    for name in _TIMES:
        at = table.schema.get_field_index(name)
        if name in _INDEX and not segmented:
            table = table.remove_column(at)
            continue
        seconds = table[name].fill_null(0.0) if name == "start" else table[name]
        nanoseconds = compute.round(compute.multiply(seconds, 1e9)).cast(pyarrow.int64())
        table = table.set_column(at, name, nanoseconds.cast(pyarrow.duration("ns")))
    return table
