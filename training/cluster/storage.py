"""Remote storage of a search: nodes that share no disk exchange the trials' folders through a URL."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path, PurePosixPath
from typing import Any

from emotions.errors import ConfigError, MissingExtra, first_line

_KEY = "tune.storage_path"


class StorageLost(Exception):
    """The storage does not answer. It ends the process; Ray restarts the trial in another one."""


class Storage:
    """Folders of trials behind a URL. Every file is written under a temporary name, then renamed.

    Args:
        url: ``s3://``, ``gs://``, ``hdfs://``, ``file://`` (pyarrow), or what fsspec knows.
        search: name of the search's folder in it.

    Raises:
        ConfigError: there is no file system for the URL.
        MissingExtra: the package that reads it is not installed.
    """

    def __init__(self, url: str, search: str) -> None:
        self.url = url
        self._files, path = _opened(url)
        self._root = PurePosixPath(path) / search
        self._stamps: dict[str, tuple[int, int]] = {}

    def check(self) -> None:
        """Write and read back a file. Raises ConfigError where that fails."""
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
        """Names of the trials' folders."""
        return sorted({path.parts[0] for path in self._files_in("")})

    def download(self, name: str, folder: Path, only: str | None = None) -> None:
        """Replace a folder by its stored copy. Raises StorageLost.

        Args:
            name: name of the trial's folder.
            folder: local folder; emptied first, unless ``only`` is given.
            only: the one file to download; nothing happens where it is not stored.
        """
        paths = [path for path in self._files_in(name) if only in (None, str(path.relative_to(name)))]
        if only is None:
            shutil.rmtree(folder, ignore_errors=True)
        for path in paths:
            target = folder / path.relative_to(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_name(f".{target.name}.part")
            self._copy(path, part, upload=False)
            part.replace(target)
            self._stamps[str(path)] = _stamp(target)

    def upload(self, folder: Path, name: str, last: str) -> None:
        """Replace the stored copy by a folder; files that have not changed are left out. Raises StorageLost.

        Args:
            folder: local folder.
            name: name of the trial's folder.
            last: file that names the others, and is therefore uploaded after them.
        """
        files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
        for source in sorted(files, key=lambda path: (path.name == last, path)):
            path = PurePosixPath(name) / source.relative_to(folder).as_posix()
            stamp = _stamp(source)
            if self._stamps.get(str(path)) != stamp:
                self._copy(path, source, upload=True)
                self._stamps[str(path)] = stamp
        kept = {PurePosixPath(name) / path.relative_to(folder).as_posix() for path in files}
        for path in set(self._files_in(name)) - kept:
            self._stamps.pop(str(path), None)
            self._call(self._files.delete_file, str(self._root / path))

    def _copy(self, path: PurePosixPath, local: Path, *, upload: bool) -> None:
        from pyarrow import fs

        disk, stored = fs.LocalFileSystem(), self._root / path
        if not upload:
            both = {"source_filesystem": self._files, "destination_filesystem": disk}
            self._call(fs.copy_files, str(stored), str(local), **both)
            return
        both = {"source_filesystem": disk, "destination_filesystem": self._files}
        part = stored.with_name(f".{stored.name}.part")
        self._call(self._files.create_dir, str(stored.parent), recursive=True)
        self._call(fs.copy_files, str(local), str(part), **both)
        self._call(self._files.move, str(part), str(stored))

    def _files_in(self, name: str) -> list[PurePosixPath]:
        """Files below a name, relative to the search's folder."""
        from pyarrow import fs

        selector = fs.FileSelector(str(self._root / name), recursive=True, allow_not_found=True)
        found = self._call(self._files.get_file_info, selector)
        paths = [PurePosixPath(info.path) for info in found if info.type == fs.FileType.File]
        return [path.relative_to(self._root) for path in paths if not path.name.startswith(".")]

    def _call(self, operation: Any, *args: Any, **options: Any) -> Any:
        try:
            return operation(*args, **options)
        except OSError as error:
            raise StorageLost(f"{self.url}: {error}") from error


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _opened(url: str) -> tuple[Any, str]:
    """The file system of a URL, pyarrow's own or else fsspec's, and the path in it."""
    import pyarrow
    from pyarrow import fs

    try:
        with contextlib.suppress(pyarrow.ArrowInvalid):
            return fs.FileSystem.from_uri(url)  # type: ignore[no-any-return]
        import fsspec

        files, path = fsspec.core.url_to_fs(url)
    except (OSError, ValueError) as error:
        raise _not_usable(url, error) from error
    except ImportError as error:
        raise MissingExtra("remote", f"the package that reads {url.partition(':')[0]}://") from error
    return fs.PyFileSystem(fs.FSSpecHandler(files)), path


def _not_usable(url: str, error: Exception) -> ConfigError:
    return ConfigError(f"{_KEY}: found {url!r}, which cannot be used ({first_line(error)})")
