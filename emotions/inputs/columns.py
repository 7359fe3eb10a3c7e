"""Names of columns: which one names the recordings, and columns that differ from a known name in their case alone."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

FILE = "file"
"""The column that names the recording of a row."""

_FILE_NAMES = frozenset(
    {
        *("file", "path", "filename", "file_name", "filepath", "file_path"),
        *("wav", "wav_path", "wav_file", "wavfile", "wavpath"),
        *("audio", "audio_path", "audio_file", "audiofile", "audiopath", "audio_filepath", "audio_filename"),
        *("recording_path", "recording_file", "clip", "clip_path", "clip_name"),
    }
)
_TIMES = ("start", "end")
_UNIT = r"(_(time|at|s|sec|secs|second|seconds))*"
_TIME_NAMES = {"start": re.compile(rf"(start|begin|onset){_UNIT}"), "end": re.compile(rf"(end|stop){_UNIT}")}
"""Without milliseconds, and without ``offset``, which is an end to some and a start to others."""


def plain_name(name: str) -> str:
    """A column's name in small letters, with ``_`` for spaces and hyphens."""
    return re.sub(r"[\s-]+", "_", name.strip()).casefold()


def names_the_file(name: str) -> bool:
    """Whether a column of this name may name the recordings: ``file``, ``Path``, ``file_name``, ``audio``."""
    return plain_name(name) in _FILE_NAMES


def file_columns(names: Iterable[str]) -> list[str]:
    """The columns that may name the recordings: the one called ``file`` if there is one, else all of such a name."""
    found = sorted((name for name in names if names_the_file(name)), key=lambda name: name != FILE)
    return next(([name] for name in found if plain_name(name) == FILE), found)


def renamed(names: Collection[str], wanted: Iterable[str]) -> dict[str, str]:
    """Columns that mean a wanted one: ``{"EMOTION": "emotion"}``; only where just one does, and it is not there itself.

    Args:
        names: the columns of a table.
        wanted: names as they are asked for.
    """
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(plain_name(name), []).append(name)
    found = {name: alike.get(plain_name(name), []) for name in wanted if name not in names}
    return {there[0]: name for name, there in found.items() if len(there) == 1}


def time_columns(names: Collection[str]) -> dict[str, str]:
    """Columns that mean the start and the end of a segment in seconds: ``{"Begin (s)": "start", "stop": "end"}``.

    Args:
        names: the columns of a table.

    Returns:
        Nothing unless just one column means each; a column that has its name already is left out.
    """
    plain = {name: re.sub(r"[()\[\]]", "", plain_name(name)) for name in names}
    found = {time: [name for name in names if rule.fullmatch(plain[name])] for time, rule in _TIME_NAMES.items()}
    if any(len(there) != 1 for there in found.values()):
        return {}
    return {there[0]: time for time, there in found.items() if there[0] != time}


def standard_names(names: Collection[str]) -> Mapping[str, str]:
    """What the columns of a table are called here: one that names the recordings ``file``, times ``start``, ``end``."""
    files = file_columns(names)
    return {**time_columns(names), **renamed(names, _TIMES), **({files[0]: FILE} if len(files) == 1 else {})}


def no_file_column(names: Iterable[str]) -> str:
    """What to say of a table whose recordings no column, or more than one, can name."""
    every = sorted({*names})
    several = file_columns(every)
    if len(several) > 1:
        return (
            f"has no column 'file', and several that may name the recordings: {', '.join(several)}; "
            "call one of them 'file'"
        )
    there = ", ".join(every) or "none"
    return f"has no column 'file'; its columns: {there}; call the one that names the recordings 'file' (or path, audio)"
