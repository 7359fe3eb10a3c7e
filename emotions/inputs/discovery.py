"""Inputs: folders, patterns, files, tables of segments, lists and URLs to the files that are to be classified."""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from emotions.audio.formats import EXTENSIONS
from emotions.errors import DataError
from emotions.inputs.input_file import STANDARD_INPUT, InputFile, is_url
from emotions.inputs.lists import read_list, read_segments
from emotions.inputs.remote import find_remote
from emotions.inputs.tables import TABLE_SUFFIXES

_FILE_URL = "file://"


@dataclass(frozen=True)
class FileList:
    """Files found, sorted by name, lists after them as they stand, and how many others their extension excluded."""

    files: tuple[InputFile, ...]
    skipped: int


def find_files(inputs: Sequence[Path | str], lists: Sequence[Path | str] = ()) -> FileList:
    """Find recordings.

    A file stands for itself; a folder for every recording below it, hidden ones passed over and symbolic links to
    folders not followed; a pattern (``*``, ``?``, ``[...]``, ``**``) for the recordings that it matches, or, with the
    ending of a table, for the rows of such tables; a table for its rows; ``-`` for the paths on standard input; a URL
    for what its storage holds.

    Args:
        inputs: any of these.
        lists: files with one path or URL a line (or separated by NUL); ``-`` is standard input.

    Raises:
        DataError: an input does not exist or cannot be read.
        MissingExtra: a URL needs a package that is not installed.
    """
    finder = _Finder()
    for given in inputs:
        finder.look(str(given).removeprefix(_FILE_URL))
    for name in lists:
        finder.rows += read_list(str(name))
    return FileList((*(finder.found[name] for name in sorted(finder.found)), *finder.rows), finder.skipped)


@dataclass
class _Finder:
    """What was found so far: files by name, rows of lists, and how many files are no recordings."""

    found: dict[str, InputFile] = field(default_factory=dict)
    rows: list[InputFile] = field(default_factory=list)
    skipped: int = 0

    def look(self, text: str) -> None:
        """Take what one input stands for."""
        if text == STANDARD_INPUT:
            self.rows += read_list(text)
        elif is_url(text):
            for file in find_remote(text):
                self._add_recording(file)
        elif Path(text).is_dir():
            self._folder(text, [])
        elif os.path.lexists(text) and text.lower().endswith(TABLE_SUFFIXES):
            self.rows += read_segments(Path(text))
        elif os.path.lexists(text):
            self._add(InputFile(text, Path(text).name))
        elif glob.has_magic(text) and text.lower().endswith(TABLE_SUFFIXES):
            self._tables(*_pattern(text), text)
        elif glob.has_magic(text):
            self._folder(*_pattern(text))
        else:
            raise DataError(f"{text}: no such file or folder")

    def _folder(self, folder: str, pattern: list[str]) -> None:
        for name in _walk(folder):
            if _matches(name.split("/"), pattern):
                self._add_recording(InputFile(f"{folder.rstrip('/')}/{name}", name))

    def _tables(self, folder: str, pattern: list[str], text: str) -> None:
        tables = sorted(name for name in _walk(folder) if _matches(name.split("/"), pattern))
        if not tables:
            raise DataError(f"{text}: no table matches")
        for name in tables:
            self.rows += read_segments(Path(folder, name))

    def _add_recording(self, file: InputFile) -> None:
        """Add a file if it is a recording by its ending, or a folder that cannot be read."""
        if file.name.endswith("/") or PurePosixPath(file.name).suffix.lower() in EXTENSIONS:
            self._add(file)
        else:
            self.skipped += 1

    def _add(self, file: InputFile) -> None:
        """Add a file; where another input has its name already, under its whole path."""
        there = self.found.setdefault(file.name, file)
        if there is not file and not _same(there.source, file.source):
            whole = str(file.source)
            self.found[whole] = InputFile(file.source, whole, stamp=file.stamp)


def _same(one: Path | str, other: Path | str) -> bool:
    return one == other if is_url(one) or is_url(other) else Path(one).resolve() == Path(other).resolve()


def _pattern(text: str) -> tuple[str, list[str]]:
    """A pattern as the folder that it starts from, and the rest in parts."""
    parts = text.split("/")
    plain = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    folder = "/".join(parts[:plain]) or ("/" if text.startswith("/") else ".")
    if not Path(folder).is_dir():
        raise DataError(f"{text}: no such folder as {folder}")
    return folder, parts[plain:]


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a file lies at what a pattern matches, or below it; ``**`` stands for any folders."""
    if not pattern:
        return True
    if pattern[0] == "**":
        return _matches(parts, pattern[1:]) or (len(parts) > 0 and _matches(parts[1:], pattern))
    return len(parts) > 0 and fnmatch.fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def _walk(folder: str) -> Iterator[str]:
    """The name of every file below a folder, hidden ones passed over; that of a folder that cannot be read ends in /.

    Symbolic links to folders are not followed, so that no loop of them is walked.
    """
    unreadable: list[OSError] = []
    for root, folders, names in os.walk(folder, onerror=unreadable.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = _below(root, folder)
        yield from (f"{below}{name}" for name in names if not name.startswith("."))
    for error in unreadable:
        if error.filename == folder:
            raise DataError(f"{folder}: cannot be read ({error.strerror})") from error
        yield _below(error.filename, folder)


def _below(path: str, folder: str) -> str:
    """The way from a folder to one below it, POSIX, with a slash at its end; empty for the folder itself."""
    way = Path(path).relative_to(folder).as_posix()
    return "" if way == "." else f"{way}/"
