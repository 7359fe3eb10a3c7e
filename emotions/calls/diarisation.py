"""Who speaks when, as diarisers write it, joined with recordings: RTTM, or JSON of segments with speakers.

Sources: NIST, "The 2009 (RT-09) Rich Transcription Meeting Recognition Evaluation Plan", appendix A, of RTTM; the
output of WhisperX and of pyannote.audio, of JSON.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from emotions.calls.spans import Span, merged, shared
from emotions.errors import ConfigError, DataError, plain
from emotions.files.content import open_regular
from emotions.files.json_text import parse_json
from emotions.inputs.input_file import InputFile, is_url

Turns = Mapping[str, Sequence[Span]]
"""Speaker -> where they speak, in seconds of the recording: in order, none overlaps another."""
MAX_BYTES = 64 << 20
"""Largest file that is read."""
MAX_SPEAKERS = 100
"""Most speakers of one recording."""
_LONGEST_NAME = 200
_MOST_SECONDS = 1e7


class Diarisation:
    """The turns of recordings, in a file for all of them or a folder with a file for each.

    Args:
        path: a folder; an RTTM file of any recordings; or a JSON file of one recording.

    Raises:
        DataError: it cannot be read, or is none of these.
    """

    def __init__(self, path: Path) -> None:
        self._folder = path if path.is_dir() else None
        self._json = self._folder is None and path.suffix.lower() == ".json"
        self._named: Mapping[str, Turns] = {}
        if self._json:
            self._named = {"": read_json_turns(path)}
        elif self._folder is None:
            self._named = read_rttm(path)

    def of(self, file: InputFile) -> Turns:
        """The turns of a recording; empty where there are none of it.

        Args:
            file: its name, without the ending or with it, or the last part of that, is the name of its turns.

        Raises:
            DataError: a file in the folder cannot be read.
        """
        if self._json:
            return self._named[""]
        names = _names(file)
        if self._folder is None:
            found = (self._named[name] for name in names if name in self._named)
            return next(found, {})
        paths = (self._folder / f"{name}{ending}" for name in names for ending in (".rttm", ".json"))
        return _of_one(next((path for path in paths if path.is_file()), None), names)

    def check(self, files: Sequence[InputFile]) -> None:
        """Refuse several recordings where there are turns of one alone; raises DataError."""
        count = len({file.source for file in files})
        if self._json and count > 1:
            raise DataError(
                f"a JSON file of turns is of one recording, and these are {count}: name a folder, or an RTTM file"
            )


def _of_one(path: Path | None, names: Sequence[str]) -> Turns:
    """The turns in the file of one recording."""
    if path is None:
        return {}
    if path.suffix.lower() == ".json":
        return read_json_turns(path)
    found = read_rttm(path)
    if len(found) == 1:
        return next(iter(found.values()))
    return next((found[name] for name in names if name in found), {})


def _names(file: InputFile) -> list[str]:
    """What the turns of a recording may be called: of names that lead elsewhere the last part alone."""
    name = PurePosixPath(file.name)
    whole = (
        [] if name.is_absolute() or ".." in name.parts or is_url(file.name) else [str(name.with_suffix("")), str(name)]
    )
    found = [*whole, name.stem, name.name]
    return [*dict.fromkeys((*found, *("_".join(each.split()) for each in found)))]


def by_speaker(files: Sequence[InputFile], diarisation: Diarisation) -> tuple[InputFile, ...]:
    """The files with a file of its own for each speaker, of which the turns alone are classified.

    Args:
        files: recordings, or segments of them.
        diarisation: who speaks when. A recording that it does not know is one file, which says so when it is read.
    """
    diarisation.check(files)
    return tuple(part for file in files for part in _parts(file, diarisation.of(file)))


def _parts(file: InputFile, turns: Turns) -> Iterator[InputFile]:
    if not turns:
        yield replace(file, turns=())
    start, end = file.start or 0.0, math.inf if file.end is None else file.end
    for speaker, spans in turns.items():
        inside = tuple((begin - start, stop - start) for begin, stop in shared(spans, [(start, end)]))
        yield replace(file, speaker=speaker, turns=inside)


def read_rttm(path: Path) -> dict[str, Turns]:
    """The turns in an RTTM file, by the name of the recording; lines of other types than SPEAKER are passed over.

    Args:
        path: the file.

    Raises:
        DataError: it cannot be read, or a line is none.
    """
    found: dict[str, list[tuple[str, float, float]]] = defaultdict(list)
    for number, line in enumerate(_text(path).splitlines(), 1):
        fields = line.split()
        if not fields or fields[0] != "SPEAKER":
            continue
        try:
            recording, start, duration, speaker = fields[1], float(fields[3]), float(fields[4]), fields[7]
        except (IndexError, ValueError) as error:
            raise DataError(
                f"{path}:{number}: is no line of RTTM: SPEAKER file channel start duration ... name"
            ) from error
        found[recording].append((speaker, start, start + duration))
    if not found:
        raise DataError(f"{path}: has no line of RTTM that starts with SPEAKER")
    return {recording: _turns(segments, str(path)) for recording, segments in found.items()}


def read_json_turns(path: Path) -> Turns:
    """The turns in a JSON file: a list of objects that have ``start``, ``end``, ``speaker``, alone or as ``segments``.

    Segments without a speaker are passed over.

    Args:
        path: the file.

    Raises:
        DataError: it cannot be read, or is no such list.
    """
    try:
        content = parse_json(_text(path), str(path))
    except ConfigError as error:
        raise DataError(str(error)) from error
    segments = content.get("segments") if isinstance(content, dict) else content
    if not isinstance(segments, list) or not all(isinstance(each, dict) for each in segments):
        raise DataError(f"{path}: is no list of segments, such as [{{'start': 0.5, 'end': 2, 'speaker': 'A'}}]")
    return _turns((_segment(each) for each in segments if each.get("speaker") not in (None, "")), str(path))


def _segment(segment: Mapping[str, Any]) -> tuple[str, float, float]:
    start, end = (_number(segment.get(name)) for name in ("start", "end"))
    return str(segment["speaker"]), start, end


def _number(value: Any) -> float:
    """A number, NaN for what is none."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _MOST_SECONDS
    return float(value) if is_number else math.nan


def _turns(segments: Iterable[tuple[str, float, float]], where: str) -> Turns:
    """Segments by their speaker, those that overlap or touch as one."""
    found: dict[str, list[Span]] = {}
    for speaker, start, end in segments:
        if not 0 <= start <= end < _MOST_SECONDS:
            raise DataError(f"{where}: has a segment from {start:g} to {end:g} s")
        if len(speaker) > _LONGEST_NAME:
            raise DataError(f"{where}: has a speaker whose name is longer than {_LONGEST_NAME} characters")
        found.setdefault(plain(speaker), []).append((start, end))
        if len(found) > MAX_SPEAKERS:
            raise DataError(f"{where}: has more than {MAX_SPEAKERS} speakers in one recording")
    return {speaker: merged(found[speaker]) for speaker in sorted(found)}


def _text(path: Path) -> str:
    try:
        with open_regular(path) as stream:
            data: bytes = stream.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise DataError(f"{path}: has more than {MAX_BYTES:,} bytes")
        return data.decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text") from error
