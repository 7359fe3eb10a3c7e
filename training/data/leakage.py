"""Leakage audit: what is on both sides of a split and must not be: speakers, recordings, audio; and sentences."""

from __future__ import annotations

import hashlib
import logging
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from emotions.errors import DataError
from emotions.files import atomic_file, cache_root
from emotions.runtime.session import available_cores
from training.config.train import Column, DatasetConfig
from training.data.array_store import ArrayStore, writing
from training.data.clips import Clip, ClipTable
from training.data.data_faults import printable
from training.data.fingerprints import VERSION, Bits, Match, find_matches, fingerprint
from training.data.progress import watched
from training.data.splits import PARTS, Split
from training.data.waveform_cache import ClipInfo, WaveformCache

KINDS = ("speaker", "recording", "audio", "sentence")
"""What the audit looks for; a sentence on both sides is reported, and stops nothing."""

_SHOWN = 10
_SENTENCE_COLUMNS = ("sentence", "text")
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Leaks:
    """What is on both sides of a split.

    Attributes:
        found: kind -> one line each, with the names of what leaks.
        checked: the kinds that could be looked for.
        allowed: the kinds that the config allows.
    """

    found: Mapping[str, Sequence[str]]
    checked: tuple[str, ...]
    allowed: tuple[str, ...]

    def summary(self) -> dict[str, Any]:
        """What reports and bundles say: how many of each kind, without a name."""
        counts = {kind: len(self.found.get(kind, ())) if kind in self.checked else None for kind in KINDS}
        return {"found": counts, "allowed": list(self.allowed)}

    def raise_for(self, where: str) -> None:
        """Stop at what is found and not allowed; warn of what is allowed.

        Raises:
            DataError: the list of it.
        """
        fatal = [kind for kind in KINDS[:3] if self.found.get(kind) and kind not in self.allowed]
        lines = [f"  {kind}: {line}" for kind in fatal for line in _shown(self.found[kind])]
        if lines:
            named = ", ".join(f'"{kind}"' for kind in fatal)
            raise DataError(
                "\n".join([f"{where}: training, validation and test share what they must not share", *lines])
                + "\n  split by what they share, remove the clips, or allow it in dataset.split.allow_leaks: "
                f"[{named}] (every report and bundle then says so)"
            )
        for kind in self.allowed:
            if self.found.get(kind):
                _LOG.warning("%d leaks of kind %s are allowed: figures are optimistic", len(self.found[kind]), kind)


def _shown(lines: Sequence[str]) -> list[str]:
    more = len(lines) - _SHOWN
    return [*lines[:_SHOWN], *([f"and {more} more"] if more > 0 else [])]


def audit(
    table: ClipTable, facts: Sequence[ClipInfo], splits: Sequence[Split], config: DatasetConfig, cache: WaveformCache
) -> Leaks:
    """Look for what is on both sides of any of the splits.

    Args:
        table: the clips, all of them usable.
        facts: what is known of each.
        splits: one, or one a fold.
        config: where sentences stand, and which leaks are allowed.
        cache: has the samples.

    Raises:
        DataError: the cache cannot be read or written.
    """
    sides = np.stack([_sides(split, len(table)) for split in splits])
    values = {
        "speaker": [clip.speaker for clip in table.clips],
        "recording": _recordings(table, config),
        "sentence": _sentences(table, config),
    }
    found = {kind: [*_shared(names, sides)] for kind, names in values.items()}
    matches = find_matches(fingerprints(table.clips, facts, cache))
    found["audio"] = [*_copies(table, matches, facts, sides)]
    checked = tuple(kind for kind in KINDS if kind == "audio" or any(values[kind]))
    return Leaks(found, checked, tuple(config.split.allow_leaks))


def _sides(split: Split, clips: int) -> np.ndarray[Any, Any]:
    """Part of each clip, (clips,): -1 where it is in none."""
    sides = np.full(clips, -1, np.int64)
    for number, part in enumerate(PARTS):
        sides[list(getattr(split, part))] = number
    return sides


def _recordings(table: ClipTable, config: DatasetConfig) -> list[str | None]:
    """The recording of each clip; one that is only guessed from the file's name is the speaker's own."""
    said = config.recording is not None
    return [
        clip.recording if said or clip.columns.get("recording") else f"{clip.speaker or ''}/{clip.recording}"
        for clip in table.clips
    ]


def _sentences(table: ClipTable, config: DatasetConfig) -> list[str | None]:
    how = config.sentence
    if how is None:
        return [
            next((clip.columns[name] for name in _SENTENCE_COLUMNS if clip.columns.get(name)), None)
            for clip in table.clips
        ]
    if isinstance(how, Column):
        values = [clip.columns.get(how.column) for clip in table.clips]
        if not any(values):
            raise DataError(f"dataset.sentence.column: there is no column {how.column!r}")
        return values
    found = [re.search(how.pattern, clip.name) for clip in table.clips]
    return [match[1] if match else None for match in found]


def _shared(names: Sequence[str | None], sides: np.ndarray[Any, Any]) -> Iterator[str]:
    """One line for each name that is in more than one part of a split."""
    members: defaultdict[str, list[int]] = defaultdict(list)
    for clip, name in enumerate(names):
        if name:
            members[name].append(clip)
    for name, clips in sorted(members.items()):
        parts = sorted({part for fold in sides[:, clips] if len(_parts(fold)) > 1 for part in _parts(fold)})
        if parts:
            yield f"{printable(name)} ({len(clips)} clips, in {_named(parts)})"


def _parts(fold: np.ndarray[Any, Any]) -> set[int]:
    return {int(part) for part in fold if part >= 0}


def _named(parts: Sequence[int]) -> str:
    return " and ".join(PARTS[part] for part in parts)


def _copies(
    table: ClipTable, matches: Sequence[Match], facts: Sequence[ClipInfo], sides: np.ndarray[Any, Any]
) -> Iterator[str]:
    """One line for each two clips on different sides that hold the same audio."""
    exact: defaultdict[str, list[int]] = defaultdict(list)
    for clip, fact in enumerate(facts):
        exact[fact.sha256].append(clip)
    pairs = {(clips[0], clip): "the same samples" for clips in exact.values() for clip in clips[1:]}
    for match in matches:
        what = (
            f"the same recording, {abs(match.shift_sec):.2f} s shifted, {match.errors:.0%} of the fingerprint differs"
        )
        pairs.setdefault((match.first, match.second), what)
    for (first, second), what in sorted(pairs.items()):
        apart = [fold for fold in sides[:, [first, second]] if len(_parts(fold)) > 1]
        if apart:
            parts = [PARTS[int(part)] for part in apart[0]]
            yield f"{_called(table.clips[first])} ({parts[0]}) and {_called(table.clips[second])} ({parts[1]}): {what}"


def _called(clip: Clip) -> str:
    times = "" if clip.start is None and clip.end is None else f" [{clip.start or 0:g}-{clip.end or '...'} s]"
    return printable(clip.name) + times


def fingerprints(clips: Sequence[Clip], facts: Sequence[ClipInfo], cache: WaveformCache) -> list[Bits]:
    """The fingerprint of each clip; computed once, and kept."""
    store = ArrayStore(cache_root() / "fingerprints")

    def one(index: int) -> Bits:
        key = hashlib.sha256(f"{VERSION} {facts[index].sha256}".encode()).hexdigest()
        kept = store.open(key, None, ("uint32",))
        if kept is None:
            kept = fingerprint(cache.load(facts[index], clips[index]))
            with writing(store.root), atomic_file(store.path(key)) as temporary, temporary.open("wb") as stream:
                np.save(stream, kept, allow_pickle=False)
        return cast(Bits, np.array(kept))

    with ThreadPoolExecutor(available_cores(), thread_name_prefix="fingerprint") as pool:
        return [*watched(pool.map(one, range(len(clips))), len(clips), "Listening for copies")]
