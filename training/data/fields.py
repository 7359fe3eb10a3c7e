"""Fields: who speaks in a clip and which recording it comes from, by column, by pattern or by habit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from emotions.errors import DataError
from training.config.train import Column, Pattern
from training.data.data_faults import Faults
from training.data.readers import Entry

SPEAKER = "speaker"
RECORDING = "recording"


def speakers(how: Column | Pattern | None, entries: Sequence[Entry], faults: Faults) -> list[str | None]:
    """The speaker of each clip, None where unknown.

    Args:
        how: a config's ``{"column": name}`` or ``{"pattern": regex}``, or None for the column ``speaker``.
        entries: the clips.
        faults: takes the clips whose path a pattern does not match.

    Raises:
        DataError: the column is not there.
    """
    return _values(how, SPEAKER, entries, faults) if how else [entry.columns.get(SPEAKER) for entry in entries]


def recordings(how: Column | Pattern | None, entries: Sequence[Entry], faults: Faults) -> list[str]:
    """The recording of each clip: as ``how`` says, else the column ``recording``, else by the file's name.

    Arguments and errors as ``speakers``.
    """
    named = _values(how, RECORDING, entries, faults) if how else [entry.columns.get(RECORDING) for entry in entries]
    return [name or _by_name(entry) for name, entry in zip(named, entries, strict=True)]


def _by_name(entry: Entry) -> str:
    """The file's name up to the last ``_``, as segments are called ``{recording}_{segment}``, below its folder."""
    stem = PurePosixPath(entry.name).stem
    return PurePosixPath(entry.folder, stem.rpartition("_")[0] or stem).as_posix()


def _values(how: Column | Pattern, key: str, entries: Sequence[Entry], faults: Faults) -> list[str | None]:
    if isinstance(how, Column):
        return _by_column(how.column, key, entries)
    return _by_pattern(how.pattern, key, entries, faults)


def _by_column(column: str, key: str, entries: Sequence[Entry]) -> list[str | None]:
    values = [entry.columns.get(column) for entry in entries]
    if not any(values):
        there = ", ".join(sorted({name for entry in entries for name in entry.columns}))
        raise DataError(f"dataset.{key}.column: there is no column {column!r}; the columns are {there}")
    return values


def _by_pattern(pattern: str, key: str, entries: Sequence[Entry], faults: Faults) -> list[str | None]:
    regex = re.compile(pattern)
    values: list[str | None] = []
    for entry in entries:
        match = regex.search(entry.name)
        values.append((match[1] or None) if match else None)
        if values[-1] is None:
            faults.add(f"path that the pattern {pattern!r} of dataset.{key} does not match", entry.name)
    return values
