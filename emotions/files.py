"""Files: atomic writes, hashes, strict JSON, and the private cache folder."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from emotions.errors import ConfigError, OutputExists

_BLOCK = 1 << 20
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
    """Give a temporary sibling to write to; it takes the place of ``path`` when the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _sibling(path)
    temporary.touch(exist_ok=False)
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give a temporary sibling folder to fill; it becomes ``path``, which must not exist, when the block succeeds."""
    refuse_existing(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _sibling(path)
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                _sync(file)
        try:
            temporary.rename(path)
        except OSError as error:
            if path.exists():
                raise OutputExists(f"{path}: was made by another process meanwhile") from error
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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


def _sibling(path: Path) -> Path:
    return path.with_name(f".{secrets.token_hex(8)}{path.suffix}")


def cache_root() -> Path:
    """The toolkit's cache folder, made with mode 0700: ``EMOTIONS_CACHE``, else below the user's cache folder."""
    named = os.environ.get("EMOTIONS_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    root = Path(named) if named else Path(base) / "emotions"
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    if named is None or not any(root.iterdir()):
        root.chmod(0o700)
    return root
