"""Which clips can be used: those that decode, and are whole where that is asked for."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from emotions.errors import DataError, plain
from training.config.dataset import DatasetConfig
from training.data.clips import ClipTable
from training.data.data_faults import some
from training.data.waveforms.clip_info import ClipInfo
from training.data.waveforms.speech_clips import speech_clips
from training.data.waveforms.waveform_cache import WaveformCache

_LOG = logging.getLogger(__name__)


def decode_usable(table: ClipTable, dataset: DatasetConfig, workers: int) -> tuple[ClipTable, list[ClipInfo]]:
    """Decode what is not cached yet: the clips that training uses, and the properties of each.

    Args:
        table: the clips of a dataset.
        dataset: whether incomplete recordings are left out, and whether clips are cut to their speech.
        workers: number of threads, at least one.

    Raises:
        ConfigError: clips are to be cut to their speech, and the network that finds it is not installed.
        DataError: as ``usable``; or no clip has speech.
    """
    left, facts = usable(table, WaveformCache().prepare(table.clips, workers), strict=dataset.strict)
    return usable(*speech_clips(left, facts, workers)) if dataset.segments == "speech" else (left, facts)


def usable(table: ClipTable, facts: Sequence[ClipInfo], *, strict: bool = False) -> tuple[ClipTable, list[ClipInfo]]:
    """Select the clips that can be used, and their facts; the number of others is logged with the reasons.

    Args:
        table: the clips.
        facts: of each clip, as ``WaveformCache.prepare`` gives them.
        strict: leave out clips of which a part is missing, too.

    Raises:
        DataError: no clip is left, or a target has fewer than two classes left.
    """
    _tell_of_missing_parts(facts, strict=strict)
    facts = [_refused(fact) for fact in facts] if strict else facts
    bad = [(clip, fact) for clip, fact in zip(table.clips, facts, strict=True) if fact.error]
    if not bad:
        return table, list(facts)
    if len(bad) == len(table):
        named = some(f"{plain(clip.name)} ({fact.error})" for clip, fact in bad)
        raise DataError(f"{table.root}: none of the {len(bad)} clips can be used: {named}")
    # File names may name people, so the log only counts.
    why = ", ".join(f"{count} {code}" for code, count in Counter(fact.error_code for _, fact in bad).items())
    _LOG.warning("%d of %d clips are left out (%s); emotions data check lists them", len(bad), len(table), why)
    good = [index for index, fact in enumerate(facts) if not fact.error]
    left = table.select(good)
    left.check_labels()
    return left, [facts[index] for index in good]


def _tell_of_missing_parts(facts: Sequence[ClipInfo], *, strict: bool) -> None:
    missing = sum(bool(fact.warnings) and not fact.error for fact in facts)
    if missing and not strict:
        line = "%d of %d clips are cut off or damaged and used as far as they go (dataset.strict leaves them out)"
        _LOG.warning(line + "; emotions data check lists them", missing, len(facts))


def _refused(fact: ClipInfo) -> ClipInfo:
    """The facts of a clip, an error where a part of it is missing."""
    if fact.error or not fact.warnings:
        return fact
    code, _, message = fact.warnings[0].partition(": ")
    return replace(fact, error=message, error_code=code)
