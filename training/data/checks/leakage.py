"""Leakage audit: speakers, recordings, audio, sentences and voices that the parts of a split share."""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from emotions.errors import DataError, plain
from emotions.files.cache import cache_root
from emotions.runtime.cores import available_cores
from training.config.dataset import DatasetConfig
from training.data.checks.copies import Match, find_matches
from training.data.checks.fingerprints import VERSION, Bits, fingerprint
from training.data.clips import Clip, ClipTable
from training.data.data_faults import Faults
from training.data.progress import watched
from training.data.readers import column_or_pattern
from training.data.split.splits import PARTS, Split
from training.data.voices.comparison import VoicePair, percent
from training.data.voices.names import named_voices
from training.data.waveforms.array_store import ArrayStore
from training.data.waveforms.clip_info import ClipInfo
from training.data.waveforms.waveform_cache import WaveformCache
from training.models.shelf.catalogue import RESEMBLYZER
from training.models.shelf.fetch import fetched

KINDS = ("speaker", "recording", "audio", "sentence", "voice")
"""Kinds of leaks; a shared sentence, and names that sound like one person, are reported but never an error."""

_SHOWN = 10
_SENTENCE_COLUMNS = ("sentence", "text")
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Leaks:
    """What the parts of a split share.

    Attributes:
        found: kind -> one line for each leak, with names.
        checked: the kinds that could be checked.
        allowed: the kinds that the config allows.
        certainty: that the names which sound most like one person are one.
    """

    found: Mapping[str, Sequence[str]]
    checked: tuple[str, ...]
    allowed: tuple[str, ...]
    certainty: float = 0.0

    def summary(self) -> dict[str, Any]:
        """The number of leaks of each kind, without names, for reports and bundles."""
        counts = {kind: len(self.found.get(kind, ())) if kind in self.checked else None for kind in KINDS}
        return {"found": counts, "allowed": list(self.allowed)}

    def raise_for(self, where: str) -> None:
        """Raise the leaks that are not allowed as a DataError about ``where``; log a warning of those that are."""
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

    def warn_of_voices(self) -> None:
        """Log a warning, without names, where speakers on both sides of the split sound like one person."""
        if self.found.get("voice"):
            _LOG.warning("%s (emotions data check names them)", self.suspicion())

    def suspicion(self) -> str:
        """What the voices on both sides of the split say, without names."""
        pairs = len(self.found["voice"])
        return (
            f"{pairs} {'pairs' if pairs > 1 else 'pair'} of speakers on both sides of the split sound like one person, "
            f"the most alike with {percent(self.certainty)} certainty: listen to them, and give one person one name, "
            "else figures are optimistic"
        )


def _shown(lines: Sequence[str]) -> list[str]:
    more = len(lines) - _SHOWN
    return [*lines[:_SHOWN], *([f"and {more} more"] if more > 0 else [])]


def audit(
    table: ClipTable, facts: Sequence[ClipInfo], splits: Sequence[Split], config: DatasetConfig, cache: WaveformCache
) -> Leaks:
    """Find what the parts of any of the splits share.

    Args:
        table: the clips, all of them usable.
        facts: of each clip.
        splits: one, or one per fold.
        config: the source of sentences, and the allowed leaks.
        cache: holds the samples.

    Voices are compared where the speaker encoder is on this machine (``emotions encoders fetch resemblyzer``).
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
    checked = {"audio", *(kind for kind, known in values.items() if any(known))}
    encoder = fetched(RESEMBLYZER)
    voices = named_voices(table, facts, cache, encoder) if encoder else None
    pairs = _apart(values["speaker"], voices.pairs, sides) if voices else {}
    found["voice"] = [*pairs.values()]
    checked |= {"voice"} if voices else set()
    certainty = max((pair.certainty for pair in pairs), default=0.0)
    kinds = tuple(kind for kind in KINDS if kind in checked)
    return Leaks(found, kinds, tuple(config.split.allow_leaks), certainty)


def _sides(split: Split, clips: int) -> np.ndarray[Any, Any]:
    """Index of the part of each clip, (clips,); -1 where it is in none."""
    sides = np.full(clips, -1, np.int64)
    for number, part in enumerate(PARTS):
        sides[list(getattr(split, part))] = number
    return sides


def _recordings(table: ClipTable, config: DatasetConfig) -> list[str | None]:
    """The recording of each clip; one that is derived from the file's name counts within its speaker only."""
    configured = config.recording is not None
    return [
        clip.recording if configured or clip.columns.get("recording") else f"{clip.speaker or ''}/{clip.recording}"
        for clip in table.clips
    ]


def _sentences(table: ClipTable, config: DatasetConfig) -> list[str | None]:
    clips = [(clip.name, clip.columns) for clip in table.clips]
    if config.sentence is None:
        return [next((columns[name] for name in _SENTENCE_COLUMNS if columns.get(name)), None) for _, columns in clips]
    return column_or_pattern(config.sentence, "sentence", clips, Faults())  # a clip without a sentence is no fault


def _shared(names: Sequence[str | None], sides: np.ndarray[Any, Any]) -> Iterator[str]:
    """One line for each name that occurs in more than one part of a split."""
    members: defaultdict[str, list[int]] = defaultdict(list)
    for clip, name in enumerate(names):
        if name:
            members[name].append(clip)
    for name, clips in sorted(members.items()):
        parts = sorted({part for fold in sides[:, clips] if len(_parts(fold)) > 1 for part in _parts(fold)})
        if parts:
            yield f"{plain(name)} ({len(clips)} clips, in {' and '.join(PARTS[part] for part in parts)})"


def _parts(fold: np.ndarray[Any, Any]) -> set[int]:
    return {int(part) for part in fold if part >= 0}


def _apart(
    names: Sequence[str | None], pairs: Sequence[VoicePair], sides: np.ndarray[Any, Any]
) -> dict[VoicePair, str]:
    """One line for each pair of names that sound like one person and are in different parts of a split."""
    found = {}
    members: defaultdict[str | None, list[int]] = defaultdict(list)
    for clip, name in enumerate(names):
        members[name].append(clip)
    for pair in pairs:
        one, other = members[pair.first], members[pair.second]
        if any(len(_parts(fold[[*one, *other]])) > 1 for fold in sides):
            who = " and ".join(f"{plain(name)} ({len(members[name])} clips)" for name in (pair.first, pair.second))
            found[pair] = f"{who} sound like one person with {pair.sure} certainty"
    return found


def _copies(
    table: ClipTable, matches: Sequence[Match], facts: Sequence[ClipInfo], sides: np.ndarray[Any, Any]
) -> Iterator[str]:
    """One line for each pair of clips in different parts with the same audio."""
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
            yield f"{table.clips[first]} ({parts[0]}) and {table.clips[second]} ({parts[1]}): {what}"


def fingerprints(clips: Sequence[Clip], facts: Sequence[ClipInfo], cache: WaveformCache) -> list[Bits]:
    """The fingerprint of each clip, computed once and cached.

    Args:
        clips: usable clips.
        facts: of each clip.
        cache: holds the samples.
    """
    store = ArrayStore(cache_root() / "fingerprints")

    def one(index: int) -> Bits:
        key = hashlib.sha256(f"{VERSION} 2 {facts[index].sha256}".encode()).hexdigest()
        kept = store.get(key, kinds=("uint32",), check=True)
        if kept is None:
            kept = fingerprint(cache.load(facts[index], clips[index]))
            store.put(key, kept)
        return cast(Bits, np.array(kept))

    with ThreadPoolExecutor(available_cores(), thread_name_prefix="fingerprint") as pool:
        return [*watched(pool.map(one, range(len(clips))), len(clips), "Fingerprints")]
