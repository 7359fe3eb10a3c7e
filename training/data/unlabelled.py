"""Recordings without labels, that only a teacher answers: a folder, or a table that names them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from emotions.errors import DataError
from emotions.inputs.discovery import find_files
from emotions.inputs.tables import TABLE_SUFFIXES
from training.config.dataset import Column, DatasetConfig, Pattern
from training.config.teacher import path_of
from training.data.clips import Clip, ClipTable, times_of
from training.data.data_faults import Faults
from training.data.formats.entry import Entry, entry_of
from training.data.formats.table import read_tables
from training.data.waveforms.clip_info import ClipInfo
from training.data.waveforms.usable import decode_usable


@dataclass(frozen=True)
class Unlabelled:
    """Clips without labels that can be used. They are in no part of a split.

    Attributes:
        clips: the clips.
        facts: properties of each.
        shared: of each, the labelled clips that share a speaker, a recording or audio with it; empty: none does.
    """

    clips: tuple[Clip, ...] = ()
    facts: tuple[ClipInfo, ...] = ()
    shared: tuple[frozenset[int], ...] = ()

    def __len__(self) -> int:
        return len(self.clips)

    def apart_from(self, judging: Iterable[int]) -> Unlabelled:
        """Those that share nothing with labelled clips, which are told by their index."""
        judges = frozenset(judging)
        kept = [clip for clip, shared in enumerate(self.shared) if not shared & judges]
        if not self.shared:
            return self
        clips, facts = tuple(self.clips[clip] for clip in kept), tuple(self.facts[clip] for clip in kept)
        return Unlabelled(clips, facts, tuple(self.shared[clip] for clip in kept))

    @cached_property
    def fingerprint(self) -> str:
        """Hex SHA-256 of the samples of all clips, independent of their order and names."""
        return hashlib.sha256("\n".join(sorted(fact.sha256 for fact in self.facts)).encode()).hexdigest()

    def summary(self) -> dict[str, Any]:
        """Number, hours and fingerprint, without names."""
        hours = round(sum(fact.duration_sec for fact in self.facts) / 3600, 4)
        return {"clips": len(self), "hours": hours, "fingerprint": self.fingerprint}


NOTHING = Unlabelled()


def read_unlabelled(config: DatasetConfig, root: Path, workers: int) -> Unlabelled:
    """Read the recordings that ``dataset.unlabelled`` names, and decode what is not cached; none where it names none.

    Args:
        config: the ``dataset`` block.
        root: folder that a relative path starts from.
        workers: number of decoding threads.

    Raises:
        DataError: there is no such folder or table, or none of its recordings can be used.
    """
    table = find_unlabelled(config, root)
    if table is None:
        return NOTHING
    left, facts = decode_usable(table, config, workers)
    return Unlabelled(left.clips, tuple(facts))


def find_unlabelled(config: DatasetConfig, root: Path) -> ClipTable | None:
    """The clips that ``dataset.unlabelled`` names, none of them decoded; None where it names none. As above."""
    if config.unlabelled is None:
        return None
    path = path_of(config.unlabelled, root)
    faults = Faults()
    entries = _entries(path, faults)
    speakers, recordings = _known(config.speaker, "speaker", entries), _known(config.recording, "recording", entries)
    found = [_clip(path, *each, faults) for each in zip(entries, speakers, recordings, strict=True)]
    faults.raise_for(f"dataset.unlabelled: {path}")
    clips = {clip.identity: clip for clip in found if clip is not None}
    if not clips:
        raise DataError(f"dataset.unlabelled: {path}: holds no recordings")
    return ClipTable(path, tuple(clips.values()), ())


def _entries(path: Path, faults: Faults) -> list[Entry]:
    if path.is_file() and path.name.lower().endswith(TABLE_SUFFIXES):
        return read_tables(path.parent, [(path, None)], faults)
    if not path.is_dir():
        what = "is no table of recordings" if path.exists() else "no such folder or table"
        raise DataError(f"dataset.unlabelled: {path}: {what}")
    return [entry_of(path, file.path, {}) for file in find_files([path]).files]


def _known(how: Column | Pattern | None, key: str, entries: Sequence[Entry]) -> list[str | None]:
    """A property of each clip by the rule of the dataset; None where that does not tell it, which is no fault."""
    if isinstance(how, Pattern):
        matches = [re.search(how.pattern, entry.name) for entry in entries]
        return [(match[1] or None) if match else None for match in matches]
    return [entry.columns.get(how.column if how else key) for entry in entries]


def _clip(root: Path, entry: Entry, speaker: str | None, recording: str | None, faults: Faults) -> Clip | None:
    times = times_of(entry, faults)
    if times is None:
        return None
    # Whole paths, so that no recording of the dataset is taken for one of the same name here.
    name = entry.name if isinstance(entry.file, str) else Path(entry.file).absolute().as_posix()
    own = f"{root.absolute().as_posix()}: {entry.name}"
    columns = {key: value for key, value in entry.columns.items() if key not in ("start", "end", "split")}
    return Clip(entry.file, name, *times, {}, speaker, recording or own, None, columns)
