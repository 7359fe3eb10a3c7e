"""A search behind a URL: what trials write travels through storage that every node reaches, and none share a disk."""

from __future__ import annotations

import shutil
from pathlib import Path, PurePosixPath
from typing import Any

from emotions.errors import ConfigError, EmotionsError, MissingExtra, first_line

_KEY = "tune.storage_path"


class StorageLost(Exception):
    """The storage does not answer: the process that says so is lost, and its trial goes on in another one."""


class Storage:
    """Folders of trials behind a URL. Every file arrives whole: it is written under another name, then renamed.

    Args:
        url: ``s3://``, ``gs://``, ``hdfs://``, ``file://`` (pyarrow), or what fsspec knows.
        search: name of the folder of the search in it.

    Raises:
        ConfigError: no file system is known for the URL.
        MissingExtra: the package that reads it is not installed.
    """

    def __init__(self, url: str, search: str) -> None:
        self.url = url
        self._files, path = _opened(url)
        self._root = PurePosixPath(path) / search
        self._known: dict[str, tuple[int, int]] = {}

    def check(self) -> None:
        """Write and read back a file.

        Raises:
            ConfigError: the storage does not take it.
        """
        path = str(self._root / "check")
        try:
            self._files.create_dir(str(self._root), recursive=True)
            with self._files.open_output_stream(path) as stream:
                stream.write(b"check")
            with self._files.open_input_stream(path) as stream:
                read = stream.read()
            self._files.delete_file(path)
        except OSError as error:
            raise _not_usable(self.url, error) from error
        if read != b"check":
            raise ConfigError(f"{_KEY}: found {self.url!r}, which does not give back what was written to it")

    def names(self) -> list[str]:
        """The folders of trials."""
        return sorted({path.parts[0] for path in self._listed("")})

    def download(self, name: str, folder: Path, only: str | None = None) -> None:
        """Make a folder what is stored under a name.

        Args:
            name: the trial's.
            folder: is made empty first, unless ``only`` is given.
            only: the one file that is wanted; nothing happens where it is not stored.

        Raises:
            StorageLost: the storage does not answer.
        """
        wanted = [path for path in self._listed(name) if only in (None, str(path.relative_to(name)))]
        if only is None:
            shutil.rmtree(folder, ignore_errors=True)
        for path in wanted:
            target = folder / path.relative_to(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_name(f".{target.name}.part")
            self._copied(path, part, upload=False)
            part.replace(target)
            self._known[str(path)] = _stamp(target)

    def upload(self, folder: Path, name: str, last: str) -> None:
        """Make what is stored under a name what a folder is; files that have not changed since are left out.

        Args:
            folder: the trial's.
            name: what it is stored under.
            last: the file that tells of the others, and must not come before them.

        Raises:
            StorageLost: the storage does not answer.
        """
        files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
        for source in sorted(files, key=lambda path: (path.name == last, path)):
            path = PurePosixPath(name) / source.relative_to(folder).as_posix()
            stamp = _stamp(source)
            if self._known.get(str(path)) != stamp:
                self._copied(path, source, upload=True)
                self._known[str(path)] = stamp
        kept = {PurePosixPath(name) / path.relative_to(folder).as_posix() for path in files}
        for path in set(self._listed(name)) - kept:
            self._known.pop(str(path), None)
            self._told(self._files.delete_file, str(self._root / path))

    def _copied(self, path: PurePosixPath, local: Path, *, upload: bool) -> None:
        from pyarrow import fs

        there = self._root / path
        if not upload:
            self._told(
                fs.copy_files, str(there), str(local), source_filesystem=self._files, destination_filesystem=_disk()
            )
            return
        part = there.with_name(f".{there.name}.part")
        self._told(self._files.create_dir, str(there.parent), recursive=True)
        self._told(fs.copy_files, str(local), str(part), source_filesystem=_disk(), destination_filesystem=self._files)
        self._told(self._files.move, str(part), str(there))

    def _listed(self, name: str) -> list[PurePosixPath]:
        """Files below a name, relative to the search's folder."""
        from pyarrow import fs

        selector = fs.FileSelector(str(self._root / name), recursive=True, allow_not_found=True)
        found = self._told(self._files.get_file_info, selector)
        paths = [PurePosixPath(info.path) for info in found if info.type == fs.FileType.File]
        return [path.relative_to(self._root) for path in paths if not path.name.startswith(".")]

    def _told(self, act: Any, *args: Any, **options: Any) -> Any:
        try:
            return act(*args, **options)
        except OSError as error:
            raise StorageLost(f"{self.url}: {error}") from error


def _disk() -> Any:
    from pyarrow import fs

    return fs.LocalFileSystem()


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _opened(url: str) -> tuple[Any, str]:
    """The file system of a URL, as pyarrow has them, and the path in it."""
    import pyarrow
    from pyarrow import fs

    try:
        return fs.FileSystem.from_uri(url)  # type: ignore[no-any-return]
    except pyarrow.ArrowInvalid:
        return _by_fsspec(url)
    except OSError as error:
        raise _not_usable(url, error) from error


def _by_fsspec(url: str) -> tuple[Any, str]:
    import fsspec
    from pyarrow import fs

    try:
        files, path = fsspec.core.url_to_fs(url)
    except ValueError as error:
        raise _not_usable(url, error) from error
    except ImportError as error:
        raise MissingExtra("remote", f"the package that reads {url.partition(':')[0]}://") from error
    return fs.PyFileSystem(fs.FSSpecHandler(files)), path


def _not_usable(url: str, error: Exception) -> EmotionsError:
    reason = first_line(error)
    return ConfigError(f"{_KEY}: found {url!r}, which cannot be used ({reason})")
