"""A file of a bundle: read once to compare its hash, and recognised afterwards as the one that was read."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from emotions.errors import BundleError
from emotions.files.content import open_regular, sha256_of

MAX_BYTES = 16 << 30
"""Largest file of a bundle: a claim above it, or a sparse file, is not read at all."""


@dataclass(frozen=True)
class Stamp:
    """What the file system says of a file, which differs once the file was replaced or written to."""

    device: int
    inode: int
    bytes: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, about: os.stat_result) -> Stamp:
        """The stamp in what ``stat`` returned."""
        return cls(about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)

    def is_of(self, path: Path) -> bool:
        """Whether the file at ``path`` still has this stamp."""
        try:
            return Stamp.of(path.stat()) == self
        except OSError:
            return False


def checked_file(folder: Path, name: str, expected: str) -> Stamp:
    """The stamp of a file that has the hash that its manifest lists.

    Args:
        folder: the bundle's folder.
        name: the file's plain name.
        expected: hex SHA-256.

    Raises:
        BundleError: it is missing, a pipe or a device, too large, cannot be read, or has another hash.
    """
    if not (folder / name).is_file():
        raise BundleError(f"{folder}: lacks {name}, which its manifest lists")
    try:
        with open_regular(folder / name) as stream:
            stamp = Stamp.of(os.fstat(stream.fileno()))
            if stamp.bytes > MAX_BYTES:
                raise BundleError(f"{folder}: {name} has more than {MAX_BYTES >> 30} GiB")
            if sha256_of(stream) != expected:
                raise BundleError(f"{folder}: {name} is not the file that was exported (its SHA-256 differs)")
    except OSError as error:
        raise BundleError(f"{folder}: {name} cannot be read ({error.strerror or error})") from error
    return stamp
