"""The layout of class folders: ``angry/a.wav``, or ``train/angry/a.wav`` below the parts of a split."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from emotions.audio.formats import EXTENSIONS
from emotions.errors import DataError
from training.data.data_faults import Faults
from training.data.formats.entry import SPLIT_NAMES, Entry

_UNSORTED = "recording lies outside the class folders (move it into one)"


def read_class_folders(root: Path, target: str, faults: Faults) -> Iterator[Entry]:
    """Clips of class folders; below the folders of a split's parts, where every folder is one.

    Args:
        root: the folder of the class folders.
        target: column that the names of the class folders fill.
        faults: takes the faults of single clips, which are left out.
    """
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
