"""Atomic writes, locks and a full disk.

Until it is whole, what is written is a sibling with a name of its own, on which its writer holds a lock. A killed
writer's lock ends with it: the next writer finds what is left, whatever the clock says, and removes it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from emotions.errors import ConfigError, DiskFull, OutputExists

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_NO_SPACE_TEXTS = tuple(map(os.strerror, _NO_SPACE))
_AGAIN = "make room, and run the same command again: what is complete is kept"
_LEFT_OVER = re.compile(r"\.(part-)?[0-9a-f]{16}(\.\w+)?")  # without "part-" by releases before 0.2
_ATTEMPTS = 100


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically: a temporary sibling, then a rename.

    Args:
        path: the file; its folder is made where it is missing.
        data: its content.
    """
    with atomic_file(path) as temporary:
        temporary.write_bytes(data)


@contextlib.contextmanager
def atomic_file(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Give a temporary sibling to write to; it takes the place of ``path`` when the block succeeds.

    Raises DiskFull, and then nothing has changed.

    Args:
        path: the file; its folder is made where it is missing.
        durable: wait until the disk has it. That takes milliseconds; a file of a cache, which is checked when it is
            read and can be made again, does without: after a power failure it may be empty.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with room_for(path), _sibling(path, _make_file) as temporary:
        try:
            yield temporary
            if durable:
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


def check_csv(path: Path, *, overwrite: bool) -> None:
    """Refuse a table that could not be written; called before anything is computed for it.

    Args:
        path: where it goes.
        overwrite: whether one that is there already is replaced.

    Raises:
        ConfigError: it is no CSV file by its name.
        OutputExists: it is there already.
    """
    if path.suffix.lower() != ".csv":
        raise ConfigError(f"{path}: the table ends with .csv")
    if not overwrite:
        refuse_existing(path)


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
