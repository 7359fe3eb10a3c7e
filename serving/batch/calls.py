"""``--calls``: a line of JSON for each recording, with what each participant did."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from emotions.calls.call import PAD_SEC, Participant, call_summary
from emotions.errors import ConfigError, OutputExists
from emotions.files.atomic import atomic_file
from emotions.folder.result import FileResult

ENDING = ".jsonl"
Add = Callable[[FileResult], object]
"""Takes the next result of a chunk."""
_PART_ENDING = ".calls"


def check_calls(path: Path, *, replaced: bool) -> None:
    """Refuse a file of calls that cannot be written, or is there already.

    Args:
        path: the file.
        replaced: whether one that is there may be.

    Raises:
        ConfigError: it has another ending.
        OutputExists: it is there.
    """
    if path.suffix.lower() != ENDING:
        raise ConfigError(f"{path}: calls are lines of JSON; name a file that ends with {ENDING}")
    if path.is_dir() or (path.exists() and not replaced):
        raise OutputExists(f"{path}: is there already; name another file of calls, or give --overwrite")


def call_line(results: Sequence[FileResult], pad_sec: float = PAD_SEC) -> dict[str, Any]:
    """The line of one recording, as JSON.

    Args:
        results: one for each participant.
        pad_sec: as for ``call_summary``.
    """
    first = results[0]
    head: dict[str, Any] = {"file": first.name.encode("utf-8", "backslashreplace").decode()}
    head |= {edge: value for edge, value in (("start", first.start), ("end", first.end)) if value is not None}
    if all(each.prediction is None for each in results):
        return {**head, "error": _error(first)}
    people = [Participant(each.speaker, _number(each), each.prediction, _error(each)) for each in results]
    return {**head, **call_summary(people, pad_sec).to_dict(), "error": None}


def _number(result: FileResult) -> int | None:
    """The channel, where it is what tells participants apart."""
    return result.channel if result.speaker else None


def _error(result: FileResult) -> str | None:
    return None if result.error is None else f"{result.code}: {result.error}"


class ByRecording:
    """Gathers the results of the participants of each recording, which come one after the other.

    Args:
        use: takes all of one recording.
    """

    def __init__(self, use: Callable[[Sequence[FileResult]], object]) -> None:
        self._use = use
        self._held: list[FileResult] = []

    def add(self, result: FileResult) -> None:
        """Take the next result."""
        if self._held and not self._goes_on(result):
            self.close()
        self._held.append(result)

    def _goes_on(self, result: FileResult) -> bool:
        last = self._held[-1]
        same = (result.name, result.start, result.end) == (last.name, last.start, last.end)
        return same and bool(result.speaker) and all(result.speaker != each.speaker for each in self._held)

    def close(self) -> None:
        """Give the last recording on."""
        if self._held:
            self._use(self._held)
        self._held = []


@contextlib.contextmanager
def open_calls(table_part: Path, pad_sec: float = PAD_SEC) -> Iterator[Add]:
    """Give a function that takes the results of a chunk, whose calls are written when the block succeeds.

    Args:
        table_part: file of the chunk's rows; that of its calls lies beside it.
        pad_sec: as for ``call_summary``.
    """
    with atomic_file(table_part.with_suffix(_PART_ENDING)) as path, path.open("w", encoding="utf-8") as stream:

        def write(results: Sequence[FileResult]) -> None:
            stream.write(json.dumps(call_line(results, pad_sec), ensure_ascii=False, allow_nan=False) + "\n")

        recordings = ByRecording(write)
        yield recordings.add
        recordings.close()


def join_calls(table_parts: Sequence[Path], path: Path) -> None:
    """Join the calls of all chunks to one file.

    Args:
        table_parts: files of the chunks' rows, in order.
        path: the file.
    """
    with atomic_file(path) as temporary, temporary.open("wb") as stream:
        for part in table_parts:
            with part.with_suffix(_PART_ENDING).open("rb") as source:
                shutil.copyfileobj(source, stream)
