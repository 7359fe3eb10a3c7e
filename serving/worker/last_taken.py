"""Which bundle the workers of one server serve, for those that are started anew: small files that they share.

A worker that was killed comes back with the settings of the server's start. What they name may meanwhile lead to a
bundle that every worker has refused, or to one that nobody serves yet.
"""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from emotions.errors import EmotionsError
from emotions.files.json_text import read_json, write_json

FOLDER_VARIABLE = "_EMOTIONS_LAST_TAKEN"
"""Set by the process that starts the workers, for them: the folder of these files. Nobody else may write into it."""
Version = tuple[object, ...]
_MOST_BYTES = 1 << 16
_MOST_FILES = 10_000
logger = logging.getLogger("bentoml.emotions")


class Taken(NamedTuple):
    """A bundle that is served: its folder, what tells its files from others there, and its name in URLs."""

    path: Path
    version: str
    name: str


def share_last_taken() -> None:
    """Make the folder for the workers that this process starts; it goes when this process ends."""
    try:
        folder = tempfile.mkdtemp(prefix="emotions-last-taken-")
    except OSError as error:
        logger.warning("workers that are started anew will not know what the others serve: %s", error)
        return
    os.environ[FOLDER_VARIABLE] = folder
    atexit.register(_remove, folder, os.getpid())


def _remove(folder: str, process: int) -> None:
    if os.getpid() == process:  # not in one that was forked from it
        shutil.rmtree(folder, ignore_errors=True)


def note_taken(source: Path, taken: Taken) -> None:
    """Remember which bundle is served; where that cannot be written, the log says so and all else goes on.

    Args:
        source: the bundle as settings name it.
        taken: what is served.
    """
    if (file := _file(source)) is None:
        return
    try:
        write_json(file, {"path": str(taken.path), "version": taken.version, "name": taken.name})
    except (OSError, EmotionsError) as error:
        logger.warning("a worker that is started anew will not know of %s: %s", taken.path.name, error)


def last_taken(source: Path) -> Taken | None:
    """The bundle that a worker began to serve last; None where none has.

    Args:
        source: the bundle as settings name it.
    """
    file = _file(source)
    if file is None or not file.is_file():
        return None
    try:
        found = read_json(file, _MOST_BYTES)
        return Taken(Path(found["path"]), str(found["version"]), str(found["name"]))
    except (EmotionsError, KeyError, TypeError):
        return None


def version_of(path: Path) -> Version | None:
    """What tells a bundle from another at the same path: where it lies, and its files; None where there is none.

    Args:
        path: of a bundle, perhaps a link.
    """
    try:
        folder = path.resolve()
        with os.scandir(folder) as entries:
            files = [(each.name, each.stat()) for each, _ in zip(entries, range(_MOST_FILES), strict=False)]
    except OSError:
        return None
    return (folder, *sorted((name, about.st_ino, about.st_size, about.st_mtime_ns) for name, about in files))


def taken_of(version: Version, name: str) -> Taken:
    """What is noted of a bundle.

    Args:
        version: as ``version_of`` gives it.
        name: in URLs.
    """
    return Taken(Path(str(version[0])), sha256(repr(version).encode()).hexdigest(), name)


def _file(source: Path) -> Path | None:
    folder = os.environ.get(FOLDER_VARIABLE)
    return Path(folder) / f"{sha256(os.fsencode(source)).hexdigest()[:32]}.json" if folder else None
