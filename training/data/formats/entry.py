"""One clip as its dataset names it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from emotions.inputs.tables import Row

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "devel", "development"), "val"),
    **dict.fromkeys(("test", "testing", "tst", "eval", "evaluation"), "test"),
}
"""Names that a predefined split may use for its parts, and ours."""

MISSING = "clip is named but not there (mend the name or remove the entry)"
"""Fault of an entry whose recording does not exist."""


@dataclass(frozen=True)
class Entry:
    """One clip as its dataset names it.

    Attributes:
        name: POSIX path relative to the dataset's folder, or absolute where it is elsewhere.
        file: where the recording lies; a URL where a table holds it.
        columns: column to value, without the empty ones and without ``file``.
        folder: the folder without the class folder: it distinguishes recordings of the same name.
        votes: of a target that several raters labelled, how many gave each label; only the targets that the clip has.
    """

    name: str
    file: Path | str
    columns: Row
    folder: str
    votes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def entry_of(root: Path, file: Path, columns: Row) -> Entry:
    """The entry of a recording on disk.

    Args:
        root: the dataset's folder.
        file: the recording.
        columns: its columns.
    """
    path = Path(os.path.normpath(file))
    base = Path(os.path.normpath(root))
    name = (path.relative_to(base) if path.is_relative_to(base) else path).as_posix()
    return Entry(name, file, columns, PurePosixPath(name).parent.as_posix())
