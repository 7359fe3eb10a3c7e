"""What a run must not learn by way of its teacher: unlabelled recordings of those who judge it, and their labels."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace

from training.config.dataset import SplitConfig
from training.data.checks.copies import find_matches
from training.data.checks.leakage import fingerprints
from training.data.clips import ClipTable
from training.data.split.splits import Split
from training.data.unlabelled import Unlabelled
from training.data.waveforms.clip_info import ClipInfo
from training.data.waveforms.waveform_cache import WaveformCache
from training.features.teacher.teacher import Teacher
from training.features.teacher.wording import teacher_warnings

_LOG = logging.getLogger(__name__)


def judged(
    teacher: Teacher | None,
    table: ClipTable,
    facts: Sequence[ClipInfo],
    splits: Sequence[Split],
    config: SplitConfig,
) -> Teacher | None:
    """The teacher, with what it shares with the dataset; what makes figures too good is logged, and refused nowhere.

    Args:
        teacher: what the run learns from beside the labels, or None.
        table: the labelled clips, all of them usable.
        facts: of each.
        splits: one, or one per fold.
        config: whether folds validate.
    """
    if teacher is None:
        return None
    unlabelled = replace(teacher.unlabelled, shared=shared_clips(teacher.unlabelled, table, facts))
    teacher = replace(teacher, unlabelled=unlabelled, saw_held_out=_saw_held_out(teacher, table, splits, config))
    lines = [*_left_out(teacher, splits), *teacher_warnings(teacher.summary())]
    for line in lines:
        _LOG.warning("%s", line)
    return teacher


def shared_clips(unlabelled: Unlabelled, table: ClipTable, facts: Sequence[ClipInfo]) -> tuple[frozenset[int], ...]:
    """The labelled clips that share a speaker, a recording or audio with each unlabelled one.

    Args:
        unlabelled: the clips without labels.
        table: the labelled clips.
        facts: of each.
    """
    if not len(unlabelled):
        return ()
    clips, known = (*table.clips, *unlabelled.clips), (*facts, *unlabelled.facts)
    kinds: tuple[list[Hashable], ...] = (
        [clip.speaker for clip in clips],
        [clip.recording for clip in clips],
        [fact.sha256 for fact in known],
    )
    found: list[set[int]] = [set() for _ in clips]
    for values in kinds:
        for number, others in enumerate(_labelled(values, len(table))):
            found[number] |= others
    for match in find_matches(fingerprints(clips, known, WaveformCache())):
        if match.first < len(table):  # its pairs are ascending
            found[match.second].add(match.first)
    return tuple(map(frozenset, found[len(table) :]))


def _labelled(values: Sequence[Hashable], count: int) -> Iterator[set[int]]:
    """For each clip those of the first ``count`` that have its value; none where it has none."""
    members: defaultdict[Hashable, set[int]] = defaultdict(set)
    for clip, value in enumerate(values[:count]):
        if value is not None:
            members[value].add(clip)
    return (members.get(value, set()) for value in values)


def _left_out(teacher: Teacher, splits: Sequence[Split]) -> Iterator[str]:
    every = len(teacher.unlabelled)
    most = max(every - len(teacher.apart_from((*split.val, *split.test)).unlabelled) for split in splits)
    if most:
        where = "" if len(splits) == 1 else ", in the fold with the most"
        yield (
            f"{most} of {every} unlabelled recordings are left out{where}: "
            "they share a speaker, a recording or audio with validation or test"
        )


def _saw_held_out(teacher: Teacher, table: ClipTable, splits: Sequence[Split], config: SplitConfig) -> bool | None:
    """Whether it has learnt from clips that validate or test; None where its bundle does not tell."""
    trained_on = teacher.manifest.dataset
    tables = (table, table.labelled_for(teacher.manifest.targets))
    if trained_on is None or trained_on.fingerprint not in {each.fingerprint for each in tables}:
        return None
    same = {split.sha256 for split in splits} == {trained_on.split.get("sha256")}
    return not same or config.val_folds > 0
