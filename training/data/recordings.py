"""Which recording a clip was cut from, where neither the config nor a column says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath

from training.data.formats.entry import Entry

BY_NAME = "the file name up to its last '_'"
EACH_FILE = "the file: each is a recording of its own"


def recordings_by_name(entries: Sequence[Entry], target: str, *, segments: bool) -> tuple[list[str], str]:
    """The recording of each clip by its file's name, and the rule in words.

    Segments are named ``{recording}_{segment}``, so the name up to the last ``_`` is the recording. But where that is
    the class's own name (``Angry/Angry_001.wav``), or all clips of every class have one such name
    (``Angry/clip_001.wav``), it tells classes or nothing apart, and each file counts as a recording of its own.

    Args:
        entries: the clips.
        target: the column of their classes.
        segments: the names are known to be those of segments, as the layout ``annotations`` has them.
    """
    whole = [PurePosixPath(entry.folder, PurePosixPath(entry.name).stem).as_posix() for entry in entries]
    begun = [_up_to_last_underscore(name) for name in whole]
    if segments:
        return begun, BY_NAME
    files = [PurePosixPath(entry.name).with_suffix("").as_posix() for entry in entries]
    if _tells_nothing(entries, target, begun):
        return files, EACH_FILE
    own = [
        name if PurePosixPath(start).name.casefold() == entry.columns.get(target, "").casefold() else start
        for entry, name, start in zip(entries, files, begun, strict=True)
    ]
    return own, BY_NAME


def _up_to_last_underscore(name: str) -> str:
    path = PurePosixPath(name)
    return path.with_name(path.name.rpartition("_")[0] or path.name).as_posix()


def _tells_nothing(entries: Sequence[Entry], target: str, recordings: Sequence[str]) -> bool:
    """Whether all clips of each class have the same recording, which for some class is that of several clips."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for entry, recording in zip(entries, recordings, strict=True):
        if target in entry.columns:
            found[entry.columns[target]].add(recording)
    return len(found) > 1 and all(len(names) == 1 for names in found.values()) and len(found) < len(recordings)
