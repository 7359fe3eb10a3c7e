"""Tables of predictions: CSV (RFC 4180), JSON lines or Parquet, with one row for each file or window.

file, start, end            name relative to the input folder (POSIX), and seconds
channel, speaker            where channels are split: its number, from 1, and the name of who is on it
<target>                    the most probable label, one column a target
<target>.<label>            its probability, to six significant digits
<target>.<dimension>        the value of a dimension, likewise; such a target has no column of its own
<target>.unknown            yes or no, where the bundle has a threshold: yes where the confidence is below it
confidence, duration        probability of the first target's label, and seconds of the recording or segment;
                            of the first one that has labels, and empty where none has
speech.duration             where only speech is classified: seconds of it
speech.start, speech.end    the same of a window's segment of speech, in the recording
embedding                   if asked for: the input of the model's output layers, the mean over windows in a file's row
warning                     "code: message" where a part of the recording is missing: ``truncated``, ``damaged``
error                       "code: message" where the file failed; then only ``file`` and a segment's times are given

An output without an ending is a folder of Parquet files, ``part-00000.parquet`` and so on; one that ends with
.audformat is a database.
"""

from __future__ import annotations

import contextlib
import csv
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from emotions.bundle.manifest import EMBEDDING, UNKNOWN
from emotions.errors import ConfigError, MissingExtra, OutputExists
from emotions.files.atomic import atomic_file
from emotions.folder.result import FileResult
from emotions.runtime.prediction import Prediction
from serving.tables.audformat import check_database
from serving.tables.columns import AUDFORMAT, PARTICIPANT, SPEECH, WARNING, Columns, Row, Write, Writer
from serving.tables.parquet import check_folder, join_folder, join_parquet, open_parquet


def rows(result: FileResult, template: Row, *, windows: bool = False) -> Iterator[Row]:
    """The rows of one file; probabilities have six significant digits.

    Args:
        result: a prediction or an error.
        template: every column of the table, with the value None.
        windows: one row for each window, with its start and end in the recording, rather than one for the file.
    """
    # A name that is not UTF-8 on disk keeps its odd bytes as \udcXX.
    name = result.name if result.name.isascii() else result.name.encode("utf-8", "backslashreplace").decode()
    whose = {each: getattr(result, each) for each in PARTICIPANT if each in template}
    prediction = result.prediction
    if prediction is None:
        error = f"{result.code}: {result.error}"
        yield {**template, "file": name, "start": result.start, "end": result.end, **whose, "error": error}
        return
    first = result.start or 0.0
    # A segment's own end, so that rows are found by what the user's table says; the duration is what there was.
    last = first + prediction.duration_sec if result.end is None else result.end
    spans = [(first, last, prediction.probabilities, prediction.values)]
    if windows:
        spans = [(first + each.start, first + each.end, each.probabilities, each.values) for each in prediction.windows]
    for index, (start, end, probabilities, values) in enumerate(spans):
        cells = {**template, "file": name, "start": start, "end": end, **whose, "duration": prediction.duration_sec}
        if prediction.segments:
            cells |= _speech(prediction, first, start if windows else None)
        _fill(cells, probabilities, prediction.thresholds)
        for target, named in values.items():
            cells |= {f"{target}.{name}": _rounded(value) for name, value in named.items()}
        if WARNING in template and prediction.warnings:
            cells[WARNING] = "; ".join(prediction.warnings)
        if EMBEDDING in template and result.embedding is not None:
            embedding = result.embedding[index] if windows else result.embedding.mean(axis=0)
            cells[EMBEDDING] = [_rounded(value) for value in embedding.tolist()]
        yield cells


def _speech(prediction: Prediction, first: float, window_start: float | None) -> Row:
    """The cells of speech, of a file or of the window that starts at a second of the recording."""
    total, begin, end = SPEECH
    if window_start is None:
        return {total: prediction.speech_sec}
    found = next(each for each in reversed(prediction.segments) if first + each.start <= window_start)
    return {total: prediction.speech_sec, begin: first + found.start, end: first + found.end}


def _fill(cells: Row, probabilities: Mapping[str, Mapping[str, float]], thresholds: Mapping[str, float]) -> None:
    """Add the labels and their probabilities, and whether these are below the threshold."""
    for target, scores in probabilities.items():
        label = max(scores, key=scores.__getitem__)
        cells[target] = label
        if cells["confidence"] is None:
            cells["confidence"] = _rounded(scores[label])
        for each, score in scores.items():
            cells[f"{target}.{each}"] = _rounded(score)
        if f"{target}.{UNKNOWN}" in cells:
            cells[f"{target}.{UNKNOWN}"] = "yes" if scores[label] < thresholds.get(target, 0.0) else "no"


def _rounded(probability: float) -> float:
    return float(f"{probability:.6g}")


def part_ending(path: Path) -> str:
    """The ending of the parts of a table: its own, or Parquet's where the table is a folder."""
    ending = path.suffix.lower()
    return _PARQUET if ending in _FOLDERS else ending


def check_ending(path: Path) -> None:
    """Refuse a table that could not be written, for its ending, what is in its place or a package that is missing."""
    ending = path.suffix.lower()
    if part_ending(path) not in _WRITERS:
        known = ", ".join((*_WRITERS, AUDFORMAT))
        raise ConfigError(f"{path}: a table ends with {known}, or is a folder of Parquet files")
    if part_ending(path) == _PARQUET and find_spec("pyarrow") is None:
        raise MissingExtra("serve", "pyarrow")
    if ending not in _FOLDERS and path.is_dir():
        raise OutputExists(f"{path}: is a folder; name another output")
    if ending in _FOLDERS and path.is_file():
        raise OutputExists(f"{path}: is a file where a folder is to be written; name another output")
    if ending == AUDFORMAT:
        check_database(path)
    elif not ending:
        check_folder(path)


@contextlib.contextmanager
def open_part(path: Path, names: Columns) -> Iterator[Write]:
    """Give a function that writes one row to a part of a table; a CSV part has no header.

    Args:
        path: ends with ``.csv``, ``.jsonl`` or ``.parquet``; what is there is replaced when the block succeeds.
        names: columns of the table.
    """
    with atomic_file(path) as temporary, _WRITERS[path.suffix](temporary, names) as write:
        yield write


def join_parts(parts: Sequence[Path], path: Path, names: Columns) -> None:
    """Join parts to a table; what is there is replaced when it is complete.

    Args:
        parts: written by ``open_part``, in their order.
        path: the table.
        names: its columns.
    """
    if not path.suffix:
        join_folder(parts, path, names)
        return
    with atomic_file(path) as temporary:
        _JOINERS[path.suffix.lower()](parts, temporary, names)


@contextlib.contextmanager
def _csv(path: Path, _: Columns) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        yield lambda cells: writer.writerow(map(_no_formula, cells.values()))


def _no_formula(cell: Any) -> Any:
    """A text that a spreadsheet would compute, as ``=cmd()``, behind an apostrophe (OWASP, CSV injection).

    One that has an apostrophe there already gets another, so that taking one away gives what was written.
    """
    return f"'{cell}" if isinstance(cell, str) and cell.lstrip("'").startswith(_FORMULA) else cell


@contextlib.contextmanager
def _jsonl(path: Path, _: Columns) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        yield lambda cells: stream.write(json.dumps(cells, ensure_ascii=False, allow_nan=False) + "\n")


def _join_csv(parts: Sequence[Path], path: Path, names: Columns) -> None:
    with _csv(path, names) as write:
        write({name: name for name in names})
    _append(parts, path, names)


def _append(parts: Sequence[Path], path: Path, _: Columns) -> None:
    with path.open("ab") as stream:
        for part in parts:
            with part.open("rb") as source:
                shutil.copyfileobj(source, stream)


_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_PARQUET = ".parquet"
_FOLDERS = ("", AUDFORMAT)
"""Endings of tables that are folders."""
_WRITERS: dict[str, Writer] = {".csv": _csv, ".jsonl": _jsonl, _PARQUET: open_parquet}
_JOINERS = {".csv": _join_csv, ".jsonl": _append, _PARQUET: join_parquet}
