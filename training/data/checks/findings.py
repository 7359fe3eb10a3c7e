"""What makes a dataset's figures unreliable without preventing training: the same words for the check and the log."""

from __future__ import annotations

import functools
import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from emotions.audio.decode import BEYOND_SEC
from training.data.clips import Clip, ClipTable
from training.data.label_faults import a_letter_apart
from training.data.recordings import EACH_FILE
from training.data.waveforms.clip_info import ClipInfo

_LEVEL_RANGE_DB = 15.0
"""Clips of one corpus lie within some 10 dB; a wider range is another microphone or gain."""
_VOICED_SEC, _VOICED_SHARE = 0.1, 0.08
"""A clip with less voice than either has no speech. Speech has 0.29 and more of it, at 0 dB of noise 0.18."""
_DOUBTFUL = frozenset({"none", "na", "unknown", "other", "xxx"})

_LOG = logging.getLogger(__name__)
_Pairs = Sequence[tuple[Clip, ClipInfo]]


@dataclass(frozen=True)
class Finding:
    """Something about a dataset that its figures depend on.

    Attributes:
        text: what it is and what to do, without names of files and speakers, so that it may be logged.
        clips: the clips that it is about, where it is about some.
    """

    text: str
    clips: tuple[str, ...] = ()


def findings(table: ClipTable, facts: Sequence[ClipInfo]) -> list[Finding]:
    """Everything found in a dataset that training accepts.

    Args:
        table: the clips.
        facts: of each clip, as ``WaveformCache.prepare`` gives them.
    """
    pairs = list(zip(table.clips, facts, strict=True))
    of_pairs = (_contradictions, _segments, _sound, _rates)
    return [*_groups(table), *_labels(table), *(each for find in of_pairs for each in find(pairs))]


def log_findings(table: ClipTable, facts: Sequence[ClipInfo]) -> None:
    """Log what ``findings`` finds as warnings, each once a process. Args as there."""
    for finding in findings(table, facts):
        count = f" ({len(finding.clips)} clips; emotions data check names them)" if finding.clips else ""
        _warn(str(table.root), finding.text + count)


@functools.lru_cache(maxsize=4096)
def _warn(_: str, text: str) -> None:
    _LOG.warning("%s", text)


def _groups(table: ClipTable) -> Iterator[Finding]:
    without = sum(not clip.speaker for clip in table.clips)
    if 0 < without < len(table.clips):
        yield Finding(f"{without} clips have no speaker: fill them in, or set dataset.split.by to 'recording'")
    if without == len(table.clips):
        yield Finding("speakers are unknown, so splits are by recording: give dataset.speaker a column or a pattern")
    if table.origins.get("recording") == EACH_FILE and without:
        yield Finding(
            "names up to the last '_' are the same for all clips of a class, so each file counts as a recording of its "
            'own: where files were cut from longer recordings, set dataset.recording to {"pattern": REGEX}'
        )


def _labels(table: ClipTable) -> Iterator[Finding]:
    for target in table.targets:
        labels = table.labels(target)
        if len(labels) < 2:
            yield Finding(f"{target} has fewer than two classes")
        for label in labels:
            who = {clip.speaker for clip in table.clips if clip.labels.get(target) == label}
            if len(who) == 1 and None not in who:
                yield Finding(f"{target} {label!r} has clips of one speaker only: it cannot be learnt and tested")
            if label.casefold() in _DOUBTFUL:
                yield Finding(f"{target} {label!r} is learnt as a class: leave it empty where no class is known")
        for one, other in a_letter_apart(labels):
            counts = table.counts(target)
            yield Finding(
                f"{target} {one!r} ({counts[one]}) and {other!r} ({counts[other]}) are a letter apart: "
                "write them alike if they are one class"
            )


def _contradictions(pairs: _Pairs) -> Iterator[Finding]:
    labels: defaultdict[str, set[str]] = defaultdict(set)
    for clip, fact in pairs:
        labels[fact.sha256].add(str(sorted(clip.labels.items())))
    contrary = sum(len(each) > 1 for sha256, each in labels.items() if sha256)
    if contrary:
        yield Finding(f"{contrary} groups of duplicates have labels that contradict each other")


def _segments(pairs: _Pairs) -> Iterator[Finding]:
    beyond = [(clip, fact) for clip, fact in pairs if fact.beyond_sec > BEYOND_SEC and not fact.error]
    if beyond:
        most = max(fact.beyond_sec for _, fact in beyond)
        yield Finding(
            f"segments end after their recording does, by up to {most:.2f} s, and are used as far as it goes: "
            "mend start and end, in seconds",
            tuple(str(clip) for clip, _ in beyond),
        )


def _sound(pairs: _Pairs) -> Iterator[Finding]:
    good = [(clip, fact) for clip, fact in pairs if not fact.error]
    mute = [
        str(clip)
        for clip, fact in good
        if fact.voiced_sec < _VOICED_SEC or fact.voiced_sec < _VOICED_SHARE * fact.active_sec
    ]
    if mute:
        yield Finding(
            "no speech found, by a simple measure of energy and periodicity that misses whispers: listen to them",
            tuple(mute),
        )
    low, high = np.percentile([fact.level_db for _, fact in good] or [0.0], [5, 95])
    if high - low > _LEVEL_RANGE_DB:
        yield Finding(
            f"levels differ by {high - low:.0f} dB, from {low:.0f} to {high:.0f} dB below full scale (9 of 10 clips): "
            "recordings of several sources are mixed, or gains"
        )


def _rates(pairs: _Pairs) -> Iterator[Finding]:
    rates = Counter(fact.rate for _, fact in pairs if fact.rate)
    if len(rates) < 2:
        return
    counted = ", ".join(f"{rate} Hz ({count})" for rate, count in sorted(rates.items()))
    yield Finding(f"sample rates differ: {counted}; where they go with a class, the model learns them in its place")
    of_label: defaultdict[tuple[str, str], Counter[int]] = defaultdict(Counter)
    for clip, fact in pairs:
        for each in clip.labels.items():
            of_label[each].update([fact.rate] if fact.rate else [])
    for (target, label), found in sorted(of_label.items()):
        if len(found) == 1 and found.total() > 1:
            yield Finding(f"{target} {label!r} has clips of {next(iter(found))} Hz only, other classes of other rates")
