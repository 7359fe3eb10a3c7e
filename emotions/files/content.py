"""What is in a file: its bytes, opened without waiting, and their hash."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

UNREADABLE_ARRAYS = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError),
    *(SyntaxError, TypeError, ValueError, tokenize.TokenError, zipfile.BadZipFile, zlib.error),
)
"""What NumPy raises for files that are no arrays: it parses a header as Python's literals."""
_BLOCK = 1 << 20
# A pipe that nobody writes to would be waited for, for ever.
_AT_ONCE = getattr(os, "O_NONBLOCK", 0)


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return sha256_of(stream)


def sha256_of(stream: BinaryIO) -> str:
    """Hex SHA-256 of an open file's bytes, from where it stands."""
    digest = hashlib.sha256()
    while block := stream.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()


def open_regular(path: Path) -> BinaryIO:
    """Open a file to read its bytes, at once; OSError where it is a pipe, a device or a folder, or missing."""
    stream = open(path, "rb", opener=lambda name, flags: os.open(name, flags | _AT_ONCE))  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise OSError(errno.EINVAL, "is no regular file", str(path))
    return stream
