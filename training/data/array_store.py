"""Store: arrays on disk by key, written atomically, bounded in size, private to the user."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from emotions.audio.windows import FloatArray
from emotions.errors import DataError
from emotions.files import atomic_file, cache_root

DEFAULT_LIMIT_GB = 20.0
"""Size that one store may grow to, unless the environment variable ``EMOTIONS_CACHE_GB`` says otherwise."""

_LOG = logging.getLogger(__name__)
_GB = 1 << 30
_TAG = "CACHEDIR.TAG"
_TAG_TEXT = b"Signature: 8a477f597d28d172789f06886806bc55\n# Made by emotions; see https://bford.info/cachedir/\n"
_STALE_SEC = 24 * 3600
# NumPy parses a header with ast.literal_eval, which Python before 3.11.9 may fail in when two threads are in it at once
# (SystemError, https://github.com/python/cpython/issues/106905).
_HEADER = threading.Lock()
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class ArrayStore:
    """Float32 arrays by key, one ``<first two characters>/<key>.npy`` each.

    Any number of threads and processes may share a store: files appear whole or not at all.

    Args:
        root: the store's folder, made with mode 0700.
    """

    def __init__(self, root: Path) -> None:
        self.root = private_folder(root)

    def path(self, key: str, suffix: str = ".npy") -> Path:
        """Where the file of a key lies or would lie."""
        return self.root / key[:2] / f"{key}{suffix}"

    def put(self, key: str, array: FloatArray) -> None:
        """Keep an array; one that is there already stays.

        Raises:
            DataError: the disk is full or cannot be written.
        """
        if self.get(key, array.shape) is not None:
            return
        with writing(self.root), atomic_file(self.path(key)) as temporary:
            np.save(temporary, np.ascontiguousarray(array, np.float32), allow_pickle=False)

    def get(self, key: str, shape: tuple[int, ...] | None = None) -> FloatArray | None:
        """The array of a key, memory-mapped and read-only, or None.

        A file that is damaged, or has another ``shape`` than expected, is removed and counts as absent.
        """
        return cast("FloatArray | None", self.open(key, shape, ("float32",)))

    def open(self, key: str, shape: tuple[int, ...] | None, kinds: Collection[str]) -> np.ndarray[Any, Any] | None:
        """The array of a key as ``get`` gives it, of one of the data types named in ``kinds``."""
        path = self.path(key)
        try:
            with _HEADER:
                array: Any = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, EOFError) as error:
            self.discard(key, str(error))
            return None
        if str(array.dtype) not in kinds or (shape is not None and array.shape != shape):
            self.discard(key, f"holds {array.dtype} {array.shape}")
            return None
        return cast("np.ndarray[Any, Any]", array)

    def discard(self, key: str, why: str) -> None:
        """Remove an array that is damaged, and say so in the log."""
        path = self.path(key)
        _LOG.warning("a cached array is damaged and will be made again (%s: %s)", path.name, why)
        path.unlink(missing_ok=True)

    def touch(self, key: str) -> None:
        """Note that a key was used, so that it is not among the first to be removed."""
        with contextlib.suppress(FileNotFoundError):
            os.utime(self.path(key))

    def evict(self, keep: Collection[str] = ()) -> int:
        """Remove the least recently used arrays beyond the limit, and what killed writers left.

        Args:
            keep: keys that are in use and stay, whatever the limit.

        Returns:
            Arrays removed.
        """
        files = sorted(_arrays(self.root), key=lambda file: file.used)
        excess = sum(file.bytes for file in files) - limit_bytes()
        removed = 0
        for file in files:
            if excess > 0 and file.path.stem not in keep:
                file.path.unlink(missing_ok=True)
                excess -= file.bytes
                removed += 1
        if excess > 0:
            _LOG.warning("the data in use need more than the cache's limit: raise EMOTIONS_CACHE_GB")
        return removed


@dataclass(frozen=True)
class _File:
    path: Path
    bytes: int
    used: float


def _arrays(root: Path) -> Iterator[_File]:
    """Every array of a store; temporary files that a killed writer left long ago are removed on the way."""
    for path in root.glob("??/*.npy"):
        try:
            facts = path.stat()
        except FileNotFoundError:
            continue
        if not path.name.startswith("."):
            yield _File(path, facts.st_size, facts.st_mtime)
        elif time.time() - facts.st_mtime > _STALE_SEC:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(root: Path) -> Iterator[None]:
    """Turn a failed write below ``root`` into a clear error.

    Raises:
        DataError: the disk is full or cannot be written.
    """
    try:
        yield
    except OSError as error:
        why = "the disk is full" if error.errno in _NO_SPACE else f"cannot be written ({error.strerror or error})"
        raise DataError(
            f"{root}: {why}; make room (emotions cache clear) or name another folder in EMOTIONS_CACHE"
        ) from error


def limit_bytes() -> int:
    """Bytes that one store may hold.

    Raises:
        DataError: ``EMOTIONS_CACHE_GB`` is not a number above 0.
    """
    named = os.environ.get("EMOTIONS_CACHE_GB", "")
    try:
        limit = float(named or DEFAULT_LIMIT_GB)
    except ValueError:
        limit = -1.0
    if not 0 < limit < float("inf"):
        raise DataError(f"EMOTIONS_CACHE_GB={named!r}: must be a number of gigabytes above 0")
    return int(limit * _GB)


def private_folder(root: Path) -> Path:
    """Make a cache folder that only the user can read, tagged as a cache so that backups pass it over."""
    with writing(root):
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        root.chmod(0o700)
        if not (root / _TAG).is_file():
            with atomic_file(root / _TAG) as temporary:
                temporary.write_bytes(_TAG_TEXT)
    return root


def stores() -> list[Path]:
    """The caches below the toolkit's cache folder: its folders that bear the tag."""
    return sorted(path.parent for path in cache_root().glob(f"*/{_TAG}"))


def describe() -> str:
    """Lines that say where the caches lie and how large each is."""
    lines = [f"{cache_root()} (limit {limit_bytes() / _GB:g} GB each)"]
    for store in stores():
        sizes = _sizes(store)
        lines.append(f"  {store.name:<12} {len(sizes):>8} files {sum(sizes) / _GB:>9.3f} GB")
    return "\n".join(lines if len(lines) > 1 else [*lines, "  empty"])


def clear() -> int:
    """Delete every cache.

    Returns:
        Bytes freed. What the toolkit did not make stays.
    """
    freed = 0
    for store in stores():
        freed += sum(_sizes(store))
        shutil.rmtree(store)
    return freed


def _sizes(store: Path) -> list[int]:
    return [path.stat().st_size for path in store.rglob("*") if path.is_file() and path.name != _TAG]
