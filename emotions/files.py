"""Files: atomic writes, locks, a full disk, hashes, strict JSON, and the private cache folder.

Until it is whole, what is written is a sibling with a name of its own, on which its writer holds a lock. A killed
writer's lock ends with it: the next writer finds what is left, whatever the clock says, and removes it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import tempfile
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from emotions.errors import ConfigError, DataError, DiskFull, OutputExists

UNREADABLE_ARRAYS = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError),
    *(SyntaxError, TypeError, ValueError, tokenize.TokenError, zipfile.BadZipFile, zlib.error),
)
"""What NumPy raises for files that are no arrays: it parses a header as Python's literals."""
_BLOCK = 1 << 20
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_NO_SPACE_TEXTS = tuple(map(os.strerror, _NO_SPACE))
_AGAIN = "make room, and run the same command again: what is complete is kept"
_LEFT_OVER = re.compile(r"\.(part-)?[0-9a-f]{16}(\.\w+)?")  # without "part-" by releases before 0.2
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_ATTEMPTS = 100
_MAX_DEPTH = 100
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


def read_json(path: Path, max_bytes: int | None = None) -> Any:
    """Parse a UTF-8 JSON file.

    Args:
        path: the file.
        max_bytes: most bytes that it may have; None for any number.

    Raises:
        ConfigError: it is missing, too large, no regular file or no JSON, is nested too deep, repeats a key, or holds
            NaN or Infinity.
    """
    try:
        with open_regular(path) as stream:
            data = stream.read(-1 if max_bytes is None else max_bytes + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text") from error
    if max_bytes is not None and len(data) > max_bytes:
        raise ConfigError(f"{path}: has more than {max_bytes:,} bytes")
    return parse_json(text, str(path))


def parse_json(text: str, name: str) -> Any:
    """Parse JSON text. Raises as ``read_json``.

    Args:
        text: the JSON.
        name: where it came from, for messages.
    """
    try:
        value = json.loads(text, object_pairs_hook=_no_repeated_keys, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{name}:{error.lineno}:{error.colno}: is not JSON ({error.msg})") from error
    except RecursionError as error:
        raise ConfigError(f"{name}: is nested too deep") from error
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from error
    if _deeper(value, _MAX_DEPTH):
        raise ConfigError(f"{name}: is nested too deep")
    return value


def _deeper(value: Any, most: int) -> bool:
    """Whether there are containers within containers at more than ``most`` levels: our own code recurses into them."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(most):
        inner = (items.values() if isinstance(items, dict) else items for items in level)
        level = [item for items in inner for item in items if item and isinstance(item, (dict, list))]
    return bool(level)


def _no_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    items: dict[str, Any] = {}
    for key, value in pairs:
        if key in items:
            raise ValueError(f"the key {key!r} stands twice in one object")
        items[key] = value
    return items


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a JSON number")


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically: UTF-8, indented, keys in the order given, no NaN. Args as ``write_bytes``."""
    write_bytes(path, (json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n").encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically: a temporary sibling, then a rename.

    Args:
        path: the file; its folder is made where it is missing.
        data: its content.
    """
    with atomic_file(path) as temporary:
        temporary.write_bytes(data)


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a temporary sibling to write to; it takes the place of ``path`` when the block succeeds.

    Raises DiskFull, and then nothing has changed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with room_for(path), _sibling(path, _make_file) as temporary:
        try:
            yield temporary
            _sync(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give a temporary sibling folder to fill; it becomes ``path``, which must not exist, when the block succeeds.

    Raises DiskFull, and then nothing has changed.
    """
    refuse_existing(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_left_over(path.parent)
    with room_for(path), _sibling(path, Path.mkdir) as temporary:
        try:
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    _sync(file)
            _become(temporary, path)
        except DiskFull as error:
            raise DiskFull(str(error).replace(str(temporary), str(path))) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _become(temporary: Path, path: Path) -> None:
    try:
        temporary.rename(path)
    except OSError as error:
        if path.exists():
            raise OutputExists(f"{path}: was made by another process meanwhile") from error
        raise


@contextlib.contextmanager
def scratch_folder(name: str) -> Iterator[Path]:
    """Give a folder for temporary files, which goes when the block ends; those that killed runs left go first.

    Args:
        name: what the names of such folders begin with.
    """
    for path in Path(tempfile.gettempdir()).glob(f"{name}-*"):
        _remove_unheld(path)
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as folder, _holding(Path(folder)):
        yield Path(folder)


@contextlib.contextmanager
def room_for(path: Path, remedy: str = _AGAIN) -> Iterator[None]:
    """Turn a full disk into DiskFull, also where a library hides the number of the error.

    Args:
        path: what is written.
        remedy: what to do.
    """
    try:
        yield
    except DiskFull:  # it names what was written already, which may lie on another disk
        raise
    except Exception as error:
        hidden = any(text in str(error) for text in _NO_SPACE_TEXTS)
        if getattr(error, "errno", None) in _NO_SPACE or hidden:
            raise DiskFull(f"{path}: the disk is full; {remedy}") from error
        raise


def remove_left_over(folder: Path) -> None:
    """Remove what killed processes left of atomic writes in a folder; what is being written stays."""
    if folder.is_dir():
        for entry in os.scandir(folder):
            if _LEFT_OVER.fullmatch(entry.name):
                _remove_unheld(Path(entry.path))


def _remove_unheld(path: Path) -> None:
    """Remove a file or folder of this user that no process holds."""
    with contextlib.suppress(OSError):
        if path.lstat().st_uid != os.geteuid():
            return
        with _holding(path, otherwise=False) as held:
            if held and path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif held:
                path.unlink(missing_ok=True)


@contextlib.contextmanager
def _sibling(path: Path, make: Callable[[Path], object]) -> Iterator[Path]:
    """Make a sibling with a name of its own, and hold it."""
    with contextlib.ExitStack() as holding:
        for _ in range(_ATTEMPTS):
            temporary = path.with_name(f".part-{secrets.token_hex(8)}{path.suffix}")
            make(temporary)
            with contextlib.suppress(FileNotFoundError):
                if holding.enter_context(_holding(temporary)) and temporary.exists():
                    break  # else another took it for a leftover, in the instant before it was held
        else:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(path))
        yield temporary


def _make_file(path: Path) -> None:
    path.touch(exist_ok=False)


@contextlib.contextmanager
def _holding(path: Path, *, otherwise: bool = True) -> Iterator[bool]:
    """Hold a file or folder by a lock that ends with this process; whether it is held.

    Args:
        path: the file or folder.
        otherwise: the answer where the file system has no locks.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = True
        except BlockingIOError:
            held = False
        except OSError:
            held = otherwise
        yield held
    finally:
        os.close(descriptor)


def refuse_existing(path: Path) -> None:
    """Refuse an output that is there already by OutputExists; called before anything is computed for it."""
    if os.path.lexists(path):
        raise OutputExists(f"{path}: is there already; name another output or delete it")


@contextlib.contextmanager
def locked(file: Path, refusal: str) -> Iterator[None]:
    """Hold a lock that ends with this process, however it ends.

    Args:
        file: the lock's file; its folder is made.
        refusal: what to say where another process holds it.

    Raises:
        OutputExists: another process holds it.
    """
    from filelock import FileLock, Timeout  # here, since most commands lock nothing

    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        # Where a file system has no flock, a mere file as the lock would outlive a killed run.
        lock = FileLock(file, timeout=0, mode=0o600, fallback_to_soft=False).acquire()
    except Timeout as error:
        raise OutputExists(refusal) from error
    with lock:
        yield


def _sync(path: Path) -> None:
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


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


def is_own_file(path: Path) -> bool:
    """Whether a path is a regular file that belongs to this user and that no other can write; not a link to one."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & _OTHERS_WRITE
