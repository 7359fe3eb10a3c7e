"""The layout of tables: one, or one for each part of a split; the recordings beside them, elsewhere or inside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from emotions.errors import DataError
from emotions.inputs.columns import FILE, no_file_column
from emotions.inputs.locate import locate_recording
from emotions.inputs.tables import TableRow, iter_table
from training.data.data_faults import Faults
from training.data.formats.entry import MISSING, SPLIT_NAMES, Entry, entry_of

METADATA = "metadata"
"""Stem of the table of a Hugging Face ``audiofolder``."""

_NO_FILE = "row has no value in the column 'file'"
_ELSEWHERE = "row names a URL (download the recording: training reads files)"

Part = tuple[Path, str | None]
"""A table, and the part of a split that it holds; None where its rows say."""


def read_tables(root: Path, parts: Sequence[Part], faults: Faults) -> list[Entry]:
    """The clips that tables name.

    Args:
        root: the dataset's folder, which the names of clips are relative to.
        parts: the tables; the paths in each start from its own folder.
        faults: takes the faults of single rows, which are left out.
    """
    entries = [entry for table, split in parts for entry in _entries(root, table, split, faults)]
    if any(table.stem.lower() == METADATA for table, _ in parts):
        entries = _split_by_folders(entries)
    return _told_apart(entries)


def _entries(root: Path, table: Path, split: str | None, faults: Faults) -> Iterator[Entry]:
    columns: set[str] = set()
    for row in iter_table(table):
        columns.update(row.columns)
        entry = _entry(root, table, row, faults)
        if entry is not None:
            yield entry if split is None else replace(entry, columns={**entry.columns, "split": split})
    if columns and FILE not in columns:
        raise DataError(f"{table}: {no_file_column(columns)}")


def _entry(root: Path, table: Path, row: TableRow, faults: Faults) -> Entry | None:
    others = {name: value for name, value in row.columns.items() if name != FILE}
    name = row.columns.get(FILE)
    if name is None:
        faults.add(_NO_FILE, f"row {row.number}")
    elif row.held:
        shown = PurePosixPath(name.replace("\\", "/")).as_posix()
        return Entry(shown, row.held, others, PurePosixPath(shown).parent.as_posix())
    elif "://" in name:
        faults.add(_ELSEWHERE, name)
    elif (file := locate_recording(table.parent, name)) is None:
        faults.add(MISSING, name)
    else:
        return entry_of(root, file, others)
    return None


def _split_by_folders(entries: list[Entry]) -> list[Entry]:
    """Entries of an audiofolder that lie in ``train``, ``test`` and the like, with that part of the split."""
    heads = [PurePosixPath(entry.name).parts[0] for entry in entries]
    if any("split" in entry.columns for entry in entries) or not {each.lower() for each in heads} <= SPLIT_NAMES.keys():
        return entries
    return [
        replace(entry, columns={**entry.columns, "split": head}) for entry, head in zip(entries, heads, strict=True)
    ]


def _told_apart(entries: list[Entry]) -> list[Entry]:
    """Entries whose recordings are inside tables under names that are different."""
    named = Counter(entry.name for entry in entries)
    seen: Counter[str] = Counter()
    found = []
    for entry in entries:
        if isinstance(entry.file, str) and named[entry.name] > 1:
            seen[entry.name] += 1
            path = PurePosixPath(entry.name)
            entry = replace(entry, name=path.with_name(f"{path.stem}-{seen[entry.name]}{path.suffix}").as_posix())  # noqa: PLW2901
        found.append(entry)
    return found
