"""``--timeline``: a file for each recording, in the formats of tools that people annotate with."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from emotions.calls.formats.annotation import Annotation, annotation_of
from emotions.calls.formats.elan import elan
from emotions.calls.formats.label_studio import label_studio
from emotions.calls.formats.plain_text import audacity, rttm, srt, vtt
from emotions.calls.formats.textgrid import textgrid
from emotions.errors import ConfigError, OutputExists
from emotions.files.atomic import write_bytes
from emotions.folder.result import FileResult
from emotions.inputs.input_file import InputFile
from serving.batch.calls import Add, ByRecording

_WRITERS: dict[str, tuple[str, Callable[[Annotation], str]]] = {
    "textgrid": (".TextGrid", textgrid),
    "elan": (".eaf", elan),
    "audacity": (".txt", audacity),
    "rttm": (".rttm", rttm),
    "srt": (".srt", srt),
    "vtt": (".vtt", vtt),
    "label-studio": (".json", label_studio),
}
FORMATS = tuple(_WRITERS)
"""Names of the formats."""
_LONGEST_PART = 50


def formats_of(text: str) -> tuple[str, ...]:
    """Read names of formats, with commas between them; ConfigError where one is none of ``FORMATS``."""
    return check_formats(tuple(dict.fromkeys(name.strip() for name in text.split(",")))) if text else ()


def check_formats(names: Sequence[str]) -> tuple[str, ...]:
    """Refuse names that are none of ``FORMATS``; raises ConfigError."""
    for name in names:
        if name not in _WRITERS:
            raise ConfigError(f"timeline: got {name[:50]!r}; " + ", ".join(FORMATS))
    return tuple(names)


def check_folder(folder: Path, *, replaced: bool) -> None:
    """Refuse a folder that holds something: what people annotated would be lost.

    Args:
        folder: where the files are to be written.
        replaced: whether files that are there may be.

    Raises:
        OutputExists: it holds something, or is a file.
    """
    if folder.is_file() or (folder.is_dir() and not replaced and any(folder.iterdir())):
        raise OutputExists(f"{folder}: is not an empty folder; name another --timeline-folder, or give --overwrite")


@dataclass(frozen=True)
class Timelines:
    """What is written of each recording.

    Attributes:
        folder: where.
        formats: names of ``FORMATS``.
        windows: an interval for each window rather than for each segment of speech.
        rater: the bundle.
        paths: path of each recording or segment below the folder, without an ending, by name, start and end.
    """

    folder: Path
    formats: Sequence[str]
    windows: bool
    rater: str
    paths: dict[tuple[str, float | None, float | None], str]

    @contextlib.contextmanager
    def open(self) -> Iterator[Add]:
        """Give a function that takes the results of a chunk, whose files are all written when the block succeeds."""
        recordings = ByRecording(self._write)
        yield recordings.add
        recordings.close()

    def _write(self, results: Sequence[FileResult]) -> None:
        first = results[0]
        if all(each.prediction is None for each in results):
            return
        annotation = annotation_of(results, self.rater, windows=self.windows)
        for name in self.formats:
            ending, write = _WRITERS[name]
            path = self.folder / f"{self.paths[first.name, first.start, first.end]}{ending}"
            write_bytes(path, write(annotation).encode())


def paths_of(files: Sequence[InputFile]) -> dict[tuple[str, float | None, float | None], str]:
    """A path below a folder for each recording or segment: its name without the ending, where no other has that.

    Args:
        files: with names from anywhere: none leads out of the folder.
    """
    names = {file.name: _safe(file.name) for file in files}
    users: dict[str, set[str]] = defaultdict(set)
    for name, safe in names.items():
        users[_key(safe.with_suffix(""))].add(name)
    found, taken = {}, set[str]()
    for file in files:
        key = (file.name, file.start, file.end)
        if key not in found:
            safe = names[file.name]
            alone = len(users[_key(safe.with_suffix(""))]) == 1
            found[key] = _untaken(f"{safe.with_suffix('') if alone else safe}{_times(file)}", taken)
    return found


def _untaken(path: str, taken: set[str]) -> str:
    """A path, with a number where another recording has it."""
    numbered = (path if number == 1 else f"{path} ({number})" for number in range(1, len(taken) + 2))
    chosen = next(each for each in numbered if each.casefold() not in taken)
    taken.add(chosen.casefold())
    return chosen


def _key(path: PurePosixPath) -> str:
    """A path as file systems compare it that do not tell capitals."""
    return str(path).casefold()


def _safe(name: str) -> PurePosixPath:
    """A name as a path below a folder: nothing of it leads out, is hidden or cannot be written."""
    clean = name.encode("utf-8", "backslashreplace").decode().replace("\\", "/").replace(":", "_")
    parts = (
        "".join(char if char.isprintable() else "_" for char in part)[-_LONGEST_PART:] for part in clean.split("/")
    )
    kept = [part.lstrip(".") for part in parts if part.strip(".")]
    return PurePosixPath(*kept) if kept else PurePosixPath("recording")


def _times(file: InputFile) -> str:
    """What tells a segment from others of its recording."""
    if file.start is None and file.end is None:
        return ""
    return f"_{file.start or 0:g}-{'' if file.end is None else f'{file.end:g}'}"
