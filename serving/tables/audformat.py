"""Predictions as a database in audformat, which ``audformat.Database.load`` reads: an output that ends with .audformat.

It is a folder with a header, ``db.yaml``, and the table ``predictions`` in ``db.predictions.parquet``. The index is
``file``; with windows, or where a table of segments was classified, it is ``file``, ``start``, ``end``. Each target is
a column with a scheme of its labels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

from emotions.bundle.bundle import Bundle
from emotions.bundle.manifest import EMBEDDING, UNKNOWN, Manifest
from emotions.errors import DataError, MissingExtra
from emotions.inputs.input_file import InputFile
from serving.tables.columns import PARTICIPANT, WARNING, Columns
from serving.tables.parquet import check_folder, join_parquet, replaced_folder

_TABLE = "predictions"
_HEADER, _ROWS = "db.yaml", f"db.{_TABLE}.parquet"
_INDEX = ("file", "start", "end")
_TIMES = ("start", "end", "duration")
_RATER = "model"
_PROBABILITY = "confidence"  # the scheme of every probability; no target may have this name


def check_database(path: Path) -> None:
    """Refuse a database that could not be written, for lack of a package or for what is in its place."""
    for package in ("pyarrow", "yaml"):
        if find_spec(package) is None:
            raise MissingExtra("serve", package)
    check_folder(path, (_HEADER, _ROWS))


def database_of(
    bundle: Bundle, files: Sequence[InputFile], *, windows: bool
) -> Callable[[Sequence[Path], Path, Columns], None]:
    """A function that joins Parquet parts to a database at a path; an existing one is replaced when it is complete.

    Args:
        bundle: the bundle that classifies.
        files: the files to classify.
        windows: rows are those of windows.
    """
    _check_index(files, windows=windows)
    segmented = windows or any(file.start is not None or file.end is not None for file in files)
    return partial(_join, bundle=bundle, segmented=segmented)


def _check_index(files: Sequence[InputFile], *, windows: bool) -> None:
    """Refuse files whose rows would have the same index, which audformat does not allow."""
    spans = sorted((file.name, file.start or 0.0, math.inf if file.end is None else file.end) for file in files)
    for (name, start, end), (next_name, next_start, next_end) in pairwise(spans):
        same = (start, end) == (next_start, next_end)
        if name == next_name and (same or (windows and next_start < end)):
            problem = "stands twice" if same else "has segments that overlap"
            raise DataError(f"{name}: {problem}, which a table of audformat has no place for; write another format")


def _join(parts: Sequence[Path], path: Path, names: Columns, *, bundle: Bundle, segmented: bool) -> None:
    import yaml

    with replaced_folder(path) as folder:
        header = _header(bundle, names, segmented=segmented)
        text = yaml.safe_dump(header, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
        (folder / _HEADER).write_text(text, encoding="utf-8")
        join_parquet(parts, folder / _ROWS, names, partial(_with_durations, segmented=segmented))


def _header(bundle: Bundle, names: Columns, *, segmented: bool) -> dict[str, Any]:
    """The header: a scheme for each target, one for all probabilities, and the columns with their schemes."""
    manifest = bundle.manifest
    schemes: dict[str, dict[str, Any]] = {
        **{target: {"dtype": "str", "labels": [*labels]} for target, labels in manifest.labels.items()},
        **{name: {"dtype": "float"} for name in _values(manifest)},
        _PROBABILITY: {"dtype": "float", "minimum": 0, "maximum": 1},
        **({UNKNOWN: {"dtype": "str", "labels": ["yes", "no"]}} if manifest.thresholds else {}),
        "duration": {"dtype": "time"},
        **{name: {"dtype": kind.__name__} for name, kind in PARTICIPANT.items() if name in names},
        **({EMBEDDING: {"dtype": "object"}} if EMBEDDING in names else {}),
        **({WARNING: {"dtype": "str"}} if WARNING in names else {}),
        "error": {"dtype": "str"},
    }
    scheme_of = {
        **{name: _PROBABILITY for name in names if name not in _INDEX},
        **{name: name for name in names if name in schemes},
        **{f"{target}.{UNKNOWN}": UNKNOWN for target in manifest.thresholds},
    }
    columns = {name: {"scheme_id": scheme, "rater_id": _RATER} for name, scheme in scheme_of.items()}
    return {
        "name": manifest.name,
        "description": "What a model says of recordings: labels and their probabilities.",
        "source": bundle.id,
        "usage": "other",
        "raters": {_RATER: {"type": "machine", "description": bundle.id}},
        "schemes": schemes,
        "tables": {_TABLE: {"type": "segmented" if segmented else "filewise", "columns": columns}},
    }


def _values(manifest: Manifest) -> list[str]:
    """The columns of dimensions, each with a scheme of its own: their values may leave their range."""
    return [f"{target}.{name}" for target, names in manifest.dimensions.items() for name in names]


def _with_durations(table: Any, *, segmented: bool) -> Any:
    """Convert seconds to durations in nanoseconds; drop start and end where they are not part of the index."""
    import pyarrow
    from pyarrow import compute

    if not segmented:
        table = table.drop_columns(["start", "end"])
    for name in set(_TIMES) & set(table.column_names):
        seconds = table[name].fill_null(0.0) if name == "start" else table[name]
        nanoseconds = compute.round(compute.multiply(seconds, 1e9)).cast(pyarrow.int64())
        column = nanoseconds.cast(pyarrow.duration("ns"))
        table = table.set_column(table.schema.get_field_index(name), name, column)
    return table
