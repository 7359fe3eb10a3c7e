"""Readers of the layouts of a dataset: each gives entries, a file with its columns."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from emotions.audio.formats import EXTENSIONS
from emotions.errors import ConfigError, DataError
from emotions.files import read_json
from emotions.inputs.tables import Row, clean, read_table
from training.config.dataset import Column, Pattern
from training.data.data_faults import Faults
from training.data.sources import Source

SPLIT_NAMES = {"train": "train", "val": "val", "validation": "val", "dev": "val", "test": "test"}
"""Names that a predefined split may use for its parts, and ours."""

_MISSING = "clip is named but not there (mend the name or remove the entry)"
_OUTSIDE = "annotated name leads out of the dataset's folder (keep the clips beside annotations.json)"
_NO_FILE = "row has no value in the column 'file'"
_NOT_OBJECT = 'annotation is not an object such as {"emotion": "angry"}'
_UNSORTED = "recording lies outside the class folders (move it into one)"


@dataclass(frozen=True)
class Entry:
    """One clip as its dataset names it.

    Attributes:
        name: POSIX path relative to the dataset's folder, or absolute where it is elsewhere.
        file: where the recording lies.
        columns: column to value, without the empty ones and without ``file``.
        folder: the folder without the class folder: it distinguishes recordings of the same name.
    """

    name: str
    file: Path
    columns: Row
    folder: str


def read_entries(source: Source, target: str, faults: Faults) -> list[Entry]:
    """Every clip of a dataset, in its order.

    Args:
        source: the dataset.
        target: column that the names of class folders fill.
        faults: takes the faults of single clips, which are left out.
    """
    if source.layout == "annotations":
        return list(_annotations(source, faults))
    if source.layout == "table":
        return list(_table(source, faults))
    return list(_folders(source.path, target, faults))


def _annotations(source: Source, faults: Faults) -> Iterator[Entry]:
    try:
        document = read_json(source.path)
    except ConfigError as error:
        raise DataError(str(error)) from error
    if not isinstance(document, dict):
        raise DataError(f'{source.path}: is not an object such as {{"clip.wav": {{"emotion": "angry"}}}}')
    for name, record in document.items():
        if not isinstance(record, dict):
            faults.add(_NOT_OBJECT, name)
        elif _leads_out(name):
            faults.add(_OUTSIDE, name)
        elif (file := _find(source.root, name)) is None:
            faults.add(_MISSING, name)
        else:
            yield _entry(source.root, file, clean(record))


def _leads_out(name: str) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or (len(name) > 1 and name[1] == ":")


def _table(source: Source, faults: Faults) -> Iterator[Entry]:
    rows = read_table(source.path)
    if rows and not any("file" in row for row in rows):
        columns = ", ".join(sorted({column for row in rows for column in row}))
        raise DataError(f"{source.path}: has no column 'file'; it has {columns}")
    for number, row in enumerate(rows, 1):
        if "file" not in row:
            faults.add(_NO_FILE, f"row {number}")
        elif (file := _find(source.root, row["file"])) is None:
            faults.add(_MISSING, row["file"])
        else:
            yield _entry(source.root, file, {name: value for name, value in row.items() if name != "file"})


def _entry(root: Path, file: Path, columns: Row) -> Entry:
    path = Path(os.path.normpath(file))
    base = Path(os.path.normpath(root))
    name = (path.relative_to(base) if path.is_relative_to(base) else path).as_posix()
    return Entry(name, file, columns, PurePosixPath(name).parent.as_posix())


def _find(root: Path, name: str) -> Path | None:
    """The file of that name: as written, in another Unicode form, or with a backslash between folders."""
    forms = (name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name), name.replace("\\", "/"))
    # Unlike Path.is_file, this is False for names that no file can have: too long, or with a null character.
    return next((root / form for form in forms if os.path.isfile(root / form)), None)  # noqa: PTH113


def _folders(root: Path, target: str, faults: Faults) -> Iterator[Entry]:
    """Clips of class folders; below the folders of a split's parts, where every folder is one."""
    files = sorted(_recordings(root))
    heads = {name.split("/", 1)[0].lower() for name in files if "/" in name}
    depth = 2 if heads and heads <= SPLIT_NAMES.keys() else 1
    for name in files:
        parts = name.split("/")
        if len(parts) <= depth:
            faults.add(_UNSORTED, name)
            continue
        columns = {target: parts[depth - 1].strip()}
        if depth == 2:
            columns["split"] = parts[0]
        yield Entry(name, root / name, columns, "/".join(parts[depth:-1]))


def _recordings(root: Path) -> Iterator[str]:
    """Names of all recordings below a folder, hidden ones passed over; links to class folders are followed."""

    def fail(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror})") from error

    with os.scandir(root) as entries:
        linked = [entry.path for entry in entries if entry.is_symlink() and entry.is_dir()]
    for top in (str(root), *linked):
        for folder, folders, names in os.walk(top, onerror=fail):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names:
                if not name.startswith(".") and PurePosixPath(name).suffix.lower() in EXTENSIONS:
                    yield Path(folder, name).relative_to(root).as_posix()


def column_or_pattern(
    how: Column | Pattern | None, key: str, clips: Sequence[tuple[str, Mapping[str, str]]], faults: Faults
) -> list[str | None]:
    """A property of each clip, such as its speaker; None where unknown.

    Args:
        how: value of ``dataset.<key>`` in the config; None takes the column ``key``.
        key: name of the property.
        clips: name and columns of each.
        faults: takes the clips whose path a pattern does not match.
    """
    if how is None:
        return [columns.get(key) for _, columns in clips]
    if isinstance(how, Column):
        values = [columns.get(how.column) for _, columns in clips]
        if not any(values):
            there = ", ".join(sorted({name for _, columns in clips for name in columns}))
            raise DataError(f"dataset.{key}.column: there is no column {how.column!r}; the columns are {there}")
        return values
    matches = [re.search(how.pattern, name) for name, _ in clips]
    values = [(match[1] or None) if match else None for match in matches]
    for (name, _), value in zip(clips, values, strict=True):
        if value is None:
            faults.add(f"path that the pattern {how.pattern!r} of dataset.{key} does not match", name)
    return values


def recording_by_name(entry: Entry) -> str:
    """The file's name up to the last ``_``, as segments are named ``{recording}_{segment}``, below its folder."""
    stem = PurePosixPath(entry.name).stem
    return PurePosixPath(entry.folder, stem.rpartition("_")[0] or stem).as_posix()
