"""Arrays on disk by key, written atomically, bounded in size, private to the user.

A file is an array, followed by a checksum of its key and its bytes. Only the user's own files in the user's own folder
are read: a link, or what others could write to, counts as absent. The clock decides on nothing but which entries are
removed first.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import threading
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from emotions.errors import DataError, DiskFull, first_line, plain
from emotions.files.atomic import atomic_file, remove_left_over, room_for
from emotions.files.cache import TAG, cache_root, is_own_file, tagged_folder
from emotions.files.content import UNREADABLE_ARRAYS

DEFAULT_LIMIT_GB = 20.0
"""Limit of one store in GiB, unless the environment variable ``EMOTIONS_CACHE_GB`` gives another."""

_LOG = logging.getLogger(__name__)
_GB = 1 << 30
_CHECKSUM_BYTES = 4
# NumPy parses a header with ast.literal_eval, which Python before 3.11.9 may fail in when two threads are in it at once
# (SystemError, https://github.com/python/cpython/issues/106905).
_HEADER = threading.Lock()
_PLAIN_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00(?P<size>[\x00-\xff]{2})"
    rb"(?P<header>\{'descr': '(?P<kind><f[248])', 'fortran_order': False, "
    rb"'shape': \((?P<shape>(?:\d{1,12}(?:,|(?:, \d{1,12}){1,9}))?)\), \} *\n)"
)
_MOST_PLAIN_HEADER = 256
_ROOM = "make room (emotions cache clear), or name another folder in EMOTIONS_CACHE; what is complete is kept"


class ArrayStore:
    """Arrays by key, one ``<first two characters>/<key>.npy`` each.

    Any number of threads and processes may share a store: files appear whole or not at all.

    Args:
        root: the store's folder, made with mode 0700.
    """

    def __init__(self, root: Path) -> None:
        self.root = _tagged_folder(root)

    def path(self, key: str) -> Path:
        """Path of the file of a key, whether it exists or not."""
        return self.root / key[:2] / f"{key}.npy"

    def put(self, key: str, array: np.ndarray[Any, Any]) -> None:
        """Store an array, atomically. Raises DiskFull, or DataError where it cannot be written.

        Args:
            key: of the array.
            array: any shape, of numbers.
        """
        with (
            writing(self.root),
            atomic_file(self.path(key), durable=False) as temporary,
            temporary.open("wb") as stream,
        ):
            temporary.chmod(0o600)
            np.save(stream, array, allow_pickle=False)
            stream.write(_checksum(key, array))

    def get(
        self,
        key: str,
        shape: tuple[int, ...] | None = None,
        kinds: Collection[str] = ("float32",),
        *,
        check: bool = False,
    ) -> np.ndarray[Any, Any] | None:
        """The array of a key, memory-mapped and read-only, or None.

        A file that is cut off, or has another shape or data type than expected, is removed and counts as absent.

        Args:
            key: of the array.
            shape: expected shape; None accepts any.
            kinds: names of the data types that are accepted.
            check: read all of it, and remove it too where its checksum is wrong.
        """
        path = self.path(key)
        if not self._is_own(path):
            return None
        try:
            with path.open("rb") as stream:
                array = _mapped(stream)
                intact = not check or _is_intact(key, array, stream)
        except FileNotFoundError:
            return None
        except UNREADABLE_ARRAYS as error:
            self.discard(key, plain(first_line(error)))
            return None
        if array.dtype.name not in kinds or (shape is not None and array.shape != shape):
            self.discard(key, f"holds {array.dtype} {array.shape}")
            return None
        if not intact:
            self.discard(key, "its checksum is wrong")
            return None
        return array

    def _is_own(self, path: Path) -> bool:
        """Whether a file is the user's own, in a folder of the store; what stands in its place is removed."""
        if is_own_file(path) and not path.parent.is_symlink():
            return True
        if os.path.lexists(path):
            _LOG.warning("a cached array is a link or may be of another user, and will be made again (%s)", path.name)
            (path.parent if path.parent.is_symlink() else path).unlink(missing_ok=True)
        return False

    def discard(self, key: str, why: str) -> None:
        """Remove a damaged array and log it.

        Args:
            key: of the array.
            why: what is wrong, for the log.
        """
        path = self.path(key)
        _LOG.warning("a cached array is damaged and will be made again (%s: %s)", path.name, why)
        path.unlink(missing_ok=True)

    def touch(self, key: str) -> None:
        """Mark a key as used now; eviction takes the least recently used first."""
        with contextlib.suppress(FileNotFoundError):
            os.utime(self.path(key))

    def evict(self, keep: Collection[str] = ()) -> int:
        """Remove the least recently used arrays beyond the limit, but for the keys in ``keep``; return how many.

        What killed writers left goes too.
        """
        for folder in self.root.glob("??"):
            remove_left_over(folder)
        files = sorted(_arrays(self.root))
        excess = sum(size for _, size, _ in files) - limit_bytes()
        removed = 0
        for _, size, path in files:
            if excess > 0 and path.stem not in keep:
                path.unlink(missing_ok=True)
                excess -= size
                removed += 1
        if excess > 0:
            _LOG.warning("the data in use need more than the cache's limit: raise EMOTIONS_CACHE_GB")
        return removed


def _mapped(stream: BinaryIO) -> np.ndarray[Any, Any]:
    """The array in a file, memory-mapped and read-only. Raises one of ``UNREADABLE_ARRAYS``.

    Headers as ``numpy.save`` writes them are read here, in a fifth of the time: a corpus has one a clip.
    """
    found = _PLAIN_HEADER.match(stream.read(_MOST_PLAIN_HEADER))
    if found is None or int.from_bytes(found["size"], "little") != found.end() - found.start("header"):
        with _HEADER:
            return cast("np.ndarray[Any, Any]", np.load(stream.name, mmap_mode="r", allow_pickle=False))
    shape = tuple(map(int, filter(None, found["shape"].split(b","))))
    return np.memmap(stream, found["kind"].decode(), "r", found.end(), shape)


def _is_intact(key: str, array: np.ndarray[Any, Any], stream: BinaryIO) -> bool:
    stream.seek(-_CHECKSUM_BYTES, os.SEEK_END)
    return array.flags.c_contiguous and stream.read() == _checksum(key, array)


def _checksum(key: str, array: np.ndarray[Any, Any]) -> bytes:
    """Checksum of a key and an array's bytes: the file of one key is not taken for that of another."""
    return zlib.crc32(np.ascontiguousarray(array).data, zlib.crc32(key.encode())).to_bytes(_CHECKSUM_BYTES, "little")


def _arrays(root: Path) -> Iterator[tuple[float, int, Path]]:
    """Time of last use, bytes and path of every array."""
    for path in root.glob("??/[!.]*.npy"):
        with contextlib.suppress(FileNotFoundError):  # another process may remove files meanwhile
            found = path.lstat()
            yield found.st_mtime, found.st_size, path


@contextlib.contextmanager
def writing(root: Path) -> Iterator[None]:
    """Turn a failed write below ``root`` into DiskFull, or a DataError that says why it cannot be written."""
    try:
        with room_for(root):
            yield
    except DiskFull as error:
        raise DiskFull(f"{root}: the disk is full; {_ROOM}") from error
    except OSError as error:
        raise DataError(
            f"{root}: cannot be written ({error.strerror or error}); name another folder in EMOTIONS_CACHE"
        ) from error


def limit_bytes() -> int:
    """Bytes that one store may hold. Raises DataError where ``EMOTIONS_CACHE_GB`` is not a number above 0."""
    named = os.environ.get("EMOTIONS_CACHE_GB", "")
    try:
        limit = float(named or DEFAULT_LIMIT_GB)
    except ValueError:
        limit = -1.0
    if not 0 < limit < float("inf"):
        raise DataError(f"EMOTIONS_CACHE_GB={named!r}: must be a number of gigabytes above 0")
    return int(limit * _GB)


def _tagged_folder(root: Path) -> Path:
    """Make a cache folder that only the user can read, tagged so that backups skip it (bford.info/cachedir)."""
    with writing(root):
        tagged_folder(root)
    return root


def stores() -> list[Path]:
    """The caches: tagged folders below the toolkit's cache folder."""
    return sorted(path.parent for path in cache_root().glob(f"*/{TAG}"))


def describe() -> str:
    """List the caches with their sizes, as text."""
    lines = [f"{cache_root()} (limit {limit_bytes() / _GB:g} GB each)"]
    for store in stores():
        sizes = _sizes(store)
        lines.append(f"  {store.name:<12} {len(sizes):>8} files {sum(sizes) / _GB:>9.3f} GB")
    return "\n".join(lines if len(lines) > 1 else [*lines, "  empty"])


def clear() -> int:
    """Delete every cache, and return the bytes freed. Folders without the tag are kept."""
    freed = 0
    for store in stores():
        freed += sum(_sizes(store))
        shutil.rmtree(store)
    return freed


def _sizes(store: Path) -> list[int]:
    return [path.stat().st_size for path in store.rglob("*") if path.is_file() and path.name != TAG]
