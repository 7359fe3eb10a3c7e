"""The checkpoint of a prediction run: the finished chunks of an unfinished table, so that a killed run can resume.

Until ``table.csv`` is finished, the folder ``.table.csv.partial`` lies beside it:

    lock              locked while a run writes; the operating system releases it when the process ends
    journal.jsonl     the run's settings, then a line for each finished chunk: its signature and its totals
    000000.csv ...    the rows of each chunk, written atomically

A chunk is classified again when its signature (names, segments, sizes and modification times of its files) has
changed, or when its rows have not the size that was recorded. The table is joined from the chunks in their order, so
that it has the same bytes however often the run was killed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from emotions.errors import ConfigError, OutputExists
from emotions.files.atomic import locked, write_bytes
from emotions.files.json_text import parse_json
from emotions.inputs.input_file import InputFile, is_url
from serving.tables.columns import WARNING, Columns
from serving.tables.writer import join_parts, part_ending

Join = Callable[[Sequence[Path], Path, Columns], None]
"""Joins parts to the table at a path, with the given columns."""
_FORMER = {
    "strict": False,
    "segments": "windows",
    "channels": "mix",
    "speakers": [],
    "calls": False,
    "timeline": [],
    "diarisation": False,
}
"""Settings of a journal that was written before there were these."""
_JOURNAL, _LOCK = "journal.jsonl", "lock"


def partial_folder(output: Path) -> Path:
    """Folder of the checkpoint of a table."""
    return output.with_name(f".{output.name}.partial")


def is_unfinished(output: Path) -> bool:
    """Whether there is an unfinished run of a table."""
    return (partial_folder(output) / _JOURNAL).exists()


def check_output(output: Path, *, overwrite: bool, resume: bool) -> None:
    """Refuse an output that is there, finished or not, unless the user says what to do with it.

    Args:
        output: the table.
        overwrite: replace it.
        resume: finish it.
    """
    if overwrite and resume:
        raise ConfigError(f"{output}: --resume continues the run and --overwrite starts again; give one of them")
    if is_unfinished(output):
        with _locked(output):
            pass
    if overwrite or resume:
        return
    if is_unfinished(output):
        raise OutputExists(f"{output}: an earlier run did not finish; --resume continues it, --overwrite starts again")
    if os.path.lexists(output):
        raise OutputExists(
            f"{output}: is there already; name another output, or give --resume to continue a run that was killed "
            "or --overwrite to replace it"
        )


def signature(files: Sequence[InputFile]) -> str:
    """Hex SHA-256 of a chunk's files: their names, segments, sizes and modification times."""
    digest = hashlib.sha256()
    for file in files:
        fields: list[Any] = [file.name, file.start, file.end, _size_and_time(file)]
        if file.channel is not None:  # a journal of an earlier release has none
            fields += [file.channel, file.speaker]
        if file.turns is not None:
            fields += [file.speaker, file.turns]
        digest.update(json.dumps(fields).encode() + b"\n")
    return digest.hexdigest()


def _size_and_time(file: InputFile) -> list[int | str]:
    if is_url(file.source):
        return [file.stamp]
    try:
        stat = os.stat(file.source)  # noqa: PTH116 - called for every file of millions
    except OSError:
        return []
    return [stat.st_size, stat.st_mtime_ns]


class RunCheckpoint:
    """The finished chunks of one table. Made by ``open_checkpoint``.

    Attributes:
        columns: of the table; of one that an earlier release began, those that it had.
    """

    def __init__(self, output: Path, columns: Columns, settings: Mapping[str, Any], *, resume: bool) -> None:
        self._output, self.columns = output, columns
        self._folder = partial_folder(output)
        self._head = {"format": 1, **settings, "columns": [*columns]}
        self._done: dict[int, dict[str, Any]] = self._read() if resume and is_unfinished(output) else {}
        self._head["columns"] = [*self.columns]
        lines = [self._head, *(self._done[index] for index in sorted(self._done))]
        write_bytes(self._folder / _JOURNAL, b"".join(map(_line, lines)))  # without a line that a kill cut off

    def part(self, index: int) -> Path:
        """File of a chunk's rows."""
        return self._folder / f"{index:06}{part_ending(self._output)}"

    def pending(self, chunks: Sequence[Sequence[InputFile]]) -> list[int]:
        """Indices of the chunks to classify: those not finished, and those whose files have changed since."""
        for index, entry in [*self._done.items()]:
            files = chunks[index] if index < len(chunks) else ()
            if _size(self.part(index)) != entry["bytes"] or signature(files) != entry["signature"]:
                del self._done[index]
        return [index for index in range(len(chunks)) if index not in self._done]

    def record(self, index: int, signed: str, totals: Mapping[str, Any]) -> None:
        """Record durably that a chunk's rows are written.

        Args:
            index: the chunk.
            signed: its signature before its files were read.
            totals: its counts, as JSON.
        """
        entry = {"chunk": index, "bytes": _size(self.part(index)), "signature": signed, "totals": totals}
        with (self._folder / _JOURNAL).open("ab") as stream:
            stream.write(_line(entry))
            stream.flush()
            os.fsync(stream.fileno())
        self._done[index] = entry

    def totals(self) -> Iterator[Mapping[str, Any]]:
        """The totals of every finished chunk, in order."""
        return (self._done[index]["totals"] for index in sorted(self._done))

    def finish(self, join: Join = join_parts) -> None:
        """Join the chunks to the table and remove everything else."""
        join([self.part(index) for index in sorted(self._done)], self._output, self.columns)
        (self._folder / _JOURNAL).unlink()

    def _read(self) -> dict[int, dict[str, Any]]:
        lines = (self._folder / _JOURNAL).read_text(encoding="utf-8").splitlines()
        entries = [entry for line in lines if (entry := _entry(line)) is not None]
        former = {key: value for key, value in _FORMER.items() if key in self._head}
        written = {**former, **entries[0]} if entries else {}
        if written.get("columns") == [name for name in self.columns if name != WARNING]:
            # Begun before there was that column: the table goes on as it began.
            self.columns = {name: kind for name, kind in self.columns.items() if name != WARNING}
        head = {**self._head, "columns": [*self.columns]}
        if written != json.loads(json.dumps(head)):
            raise OutputExists(
                f"{self._output}: was started with other options: {_changes(written, head)}; "
                "give --resume with those of then, or --overwrite to start again"
            )
        return {entry["chunk"]: entry for entry in entries[1:]}


@contextlib.contextmanager
def open_checkpoint(
    output: Path, columns: Columns, settings: Mapping[str, Any], *, resume: bool = False
) -> Iterator[RunCheckpoint]:
    """Lock and open the checkpoint of a table; it is removed when the table is finished, else kept.

    Args:
        output: the table.
        columns: its columns.
        settings: what its rows depend on, other than the files; JSON.
        resume: keep the finished chunks, rather than start again; refused where they had other settings.
    """
    with _locked(output):
        try:
            yield RunCheckpoint(output, columns, settings, resume=resume)
        finally:
            if not is_unfinished(output):
                shutil.rmtree(partial_folder(output), ignore_errors=True)


def _locked(output: Path) -> contextlib.AbstractContextManager[None]:
    refusal = f"{output}: another run is writing it; wait for its end, or name another output"
    return locked(partial_folder(output) / _LOCK, refusal)


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Options that differ, with both values, as the command line has them."""
    options = {"chunk_files": "--chunk", "batches_at_once": "batches at once (by --threads)", "columns": "columns"}
    changed = [key for key in now if before.get(key) != now[key]] or ["format"]
    names = {key: options.get(key, f"--{key}") for key in changed}
    return ", ".join(f"{names[key]} was {_told(before.get(key))} and is {_told(now.get(key))}" for key in changed)


def _told(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "not known" if value is None else str(value)


def _line(entry: Mapping[str, Any]) -> bytes:
    return json.dumps(entry, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


def _entry(line: str) -> dict[str, Any] | None:
    """A line of the journal, or None for one that a kill cut off."""
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
