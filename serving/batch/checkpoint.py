"""The checkpoint of a prediction run: what is done of a table that is not finished, so that a killed run goes on.

Beside ``table.csv`` lies, until it is finished, the folder ``.table.csv.partial``:

    lock              held (flock) while a run writes; it dies with its process
    journal.jsonl     the run's settings, then a line for each chunk that is done: its signature and its totals
    000000.csv ...    the rows of each chunk, written whole

A chunk is done again when its signature (names, segments, sizes and times of change of its files) is another one, or
its rows are not those that the checkpoint names. The table is joined from the chunks in their order, so it has the same
bytes however often a run was killed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from emotions.errors import ConfigError, OutputExists
from emotions.files import parse_json, write_bytes
from emotions.inputs.input_file import InputFile, is_url
from serving.tables.columns import Columns
from serving.tables.writer import join_parts, part_ending

Join = Callable[[Sequence[Path], Path, Columns], None]
"""Makes the table at a path of its parts."""
_JOURNAL, _LOCK = "journal.jsonl", "lock"


def partial_folder(output: Path) -> Path:
    """Where the unfinished rows of a table are."""
    return output.with_name(f".{output.name}.partial")


def is_begun(output: Path) -> bool:
    """Whether a run on a table was begun and not finished."""
    return (partial_folder(output) / _JOURNAL).exists()


def check_output(output: Path, *, overwrite: bool, resume: bool) -> None:
    """Refuse an output that is there, finished or not, unless the user says what to do with it.

    Raises:
        ConfigError: both answers at once.
        OutputExists: none of them, or another run is writing it.
    """
    if overwrite and resume:
        raise ConfigError(f"{output}: --resume goes on and --overwrite starts anew; give one of them")
    if is_begun(output):
        with _locked(output):
            pass
    if overwrite or resume:
        return
    if is_begun(output):
        raise OutputExists(f"{output}: a run was begun and not finished; --resume goes on, --overwrite starts anew")
    if os.path.lexists(output):
        raise OutputExists(
            f"{output}: is there already; name another output, or give --resume to go on with a run that was killed "
            "or --overwrite to replace it"
        )


def signature(files: Sequence[InputFile]) -> str:
    """What changes when a chunk's files do: hex SHA-256 of their names, segments, sizes and times of change."""
    digest = hashlib.sha256()
    for file in files:
        told = [file.name, file.start, file.end, _state(file)]
        digest.update(json.dumps(told).encode() + b"\n")
    return digest.hexdigest()


def _state(file: InputFile) -> list[int | str]:
    if is_url(file.source):
        return [file.stamp]
    try:
        stat = os.stat(file.source)  # noqa: PTH116 - called for every file of millions
    except OSError:
        return []
    return [stat.st_size, stat.st_mtime_ns]


class RunCheckpoint:
    """The chunks of one table that are done. Made by ``open_checkpoint``."""

    def __init__(self, output: Path, columns: Columns, settings: Mapping[str, Any], *, resume: bool) -> None:
        self._output, self._columns = output, columns
        self._folder = partial_folder(output)
        self._head = {"format": 1, **settings, "columns": [*columns]}
        self._done: dict[int, dict[str, Any]] = self._read() if resume and is_begun(output) else {}
        lines = [self._head, *(self._done[index] for index in sorted(self._done))]
        write_bytes(self._folder / _JOURNAL, b"".join(map(_line, lines)))  # without a line that a kill cut off

    def part(self, index: int) -> Path:
        """Where the rows of a chunk are."""
        return self._folder / f"{index:06}{part_ending(self._output)}"

    def pending(self, chunks: Sequence[Sequence[InputFile]]) -> list[int]:
        """The chunks that are still to do: not done, or their files changed since."""
        kept = {index for index, files in enumerate(chunks) if self._keeps(index, files)}
        self._done = {index: entry for index, entry in self._done.items() if index in kept}
        return [index for index in range(len(chunks)) if index not in kept]

    def record(self, index: int, signed: str, totals: Mapping[str, Any]) -> None:
        """Note that a chunk's rows are written."""
        entry = {"chunk": index, "bytes": _size(self.part(index)), "signature": signed, "totals": totals}
        with (self._folder / _JOURNAL).open("ab") as stream:
            stream.write(_line(entry))
            stream.flush()
            os.fsync(stream.fileno())
        self._done[index] = entry

    def totals(self) -> Iterator[Mapping[str, Any]]:
        """The totals of every chunk that is done, in order."""
        return (self._done[index]["totals"] for index in sorted(self._done))

    def finish(self, join: Join = join_parts) -> None:
        """Join the chunks to the table and remove everything else."""
        join([self.part(index) for index in sorted(self._done)], self._output, self._columns)
        (self._folder / _JOURNAL).unlink()

    def _keeps(self, index: int, files: Sequence[InputFile]) -> bool:
        done = self._done.get(index)
        return done is not None and _size(self.part(index)) == done["bytes"] and signature(files) == done["signature"]

    def _read(self) -> dict[int, dict[str, Any]]:
        lines = (self._folder / _JOURNAL).read_text(encoding="utf-8").splitlines()
        entries = [entry for line in lines if (entry := _entry(line)) is not None]
        if not entries or entries[0] != json.loads(json.dumps(self._head)):
            changed = [key for key, value in self._head.items() if not entries or entries[0].get(key) != value]
            raise OutputExists(
                f"{self._output}: was begun with another {' and '.join(changed) or 'kind of table'}; "
                "give --overwrite to start anew"
            )
        return {entry["chunk"]: entry for entry in entries[1:]}


@contextlib.contextmanager
def open_checkpoint(
    output: Path, columns: Columns, settings: Mapping[str, Any], *, resume: bool = False
) -> Iterator[RunCheckpoint]:
    """The checkpoint of a table, for this process alone; what is done stays unless the table is finished.

    Args:
        output: the table.
        columns: its columns.
        settings: what its rows depend on beside the files; JSON.
        resume: go on with what is there, rather than start anew.

    Raises:
        OutputExists: another run is writing, or what is there was begun with other settings.
    """
    with _locked(output):
        try:
            yield RunCheckpoint(output, columns, settings, resume=resume)
        finally:
            if not is_begun(output):
                shutil.rmtree(partial_folder(output), ignore_errors=True)


@contextlib.contextmanager
def _locked(output: Path) -> Iterator[None]:
    folder = partial_folder(output)
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _lock(handle) or not _is(handle, folder / _LOCK):
            raise OutputExists(f"{output}: another run is writing it; wait for its end, or name another output")
        yield
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    """Lock a file for this process, or say that another one has; its end, however it comes, lets go."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is(handle: int, path: Path) -> bool:
    """Whether the file that was locked still has its name: a run that ended meanwhile has removed it."""
    return path.exists() and os.fstat(handle).st_ino == path.stat().st_ino


def _line(entry: Mapping[str, Any]) -> bytes:
    return json.dumps(entry, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


def _entry(line: str) -> dict[str, Any] | None:
    """A line of the checkpoint, or None for one that a kill cut off."""
    try:
        entry = parse_json(line, _JOURNAL)
    except ConfigError:
        return None
    return entry if isinstance(entry, dict) else None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1
