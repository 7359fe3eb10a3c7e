"""The private cache folder, and whether what is in it is this user's own."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from emotions.errors import DataError
from emotions.files.atomic import write_bytes

TAG = "CACHEDIR.TAG"
"""File that says that a folder is a cache."""
_TAG_TEXT = b"Signature: 8a477f597d28d172789f06886806bc55\n# Made by emotions; see https://bford.info/cachedir/\n"
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def cache_root() -> Path:
    """The toolkit's cache folder, made with mode 0700: ``EMOTIONS_CACHE``, else below the user's cache folder.

    Raises DataError where it, or the link that stands for it, belongs to another user.
    """
    named = os.environ.get("EMOTIONS_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    root = Path(named) if named else Path(base) / "emotions"
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    # It may be the system's, as a container's volume is: each cache in it is the user's own in any case.
    if {root.lstat().st_uid, root.stat().st_uid} - {os.geteuid(), 0}:
        raise DataError(f"{root}: belongs to another user; name another folder in EMOTIONS_CACHE")
    if named is None or not any(root.iterdir()):
        root.chmod(0o700)
    return root


def private_folder(folder: Path) -> None:
    """Make a folder that this user alone can read and write, or find it so.

    Raises:
        DataError: it is a link, belongs to another user, or others could write to it, and its content may be theirs.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = folder.lstat()
    why = ""
    if not stat.S_ISDIR(found.st_mode):
        why = "is a link"
    elif found.st_uid != os.geteuid():
        why = "belongs to another user"
    elif found.st_mode & _OTHERS_WRITE:
        why = "other users could write to it, so that what is in it may be theirs"
    if why:
        raise DataError(f"{folder}: {why}; remove it, or name another folder in EMOTIONS_CACHE")
    folder.chmod(0o700)


def tagged_folder(folder: Path) -> None:
    """Make a folder of this user's own whose content may be deleted at any time, as its tag tells other programs.

    Args:
        folder: below the cache folder; ``emotions cache`` lists and clears it. Raises as ``private_folder``.
    """
    private_folder(folder)
    if not (folder / TAG).is_file():
        write_bytes(folder / TAG, _TAG_TEXT)


def is_own_file(path: Path) -> bool:
    """Whether a path is a regular file that belongs to this user and that no other can write; not a link to one."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & _OTHERS_WRITE
