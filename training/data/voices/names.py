"""The voices of the names of a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from training.data.clips import Clip, ClipTable
from training.data.voices.comparison import Comparison, compare_voices
from training.data.voices.embeddings import clip_embeddings, enough_of_each
from training.data.waveforms.clip_info import ClipInfo
from training.data.waveforms.waveform_cache import WaveformCache


def named_voices(table: ClipTable, facts: Sequence[ClipInfo], cache: WaveformCache, encoder: Path) -> Comparison | None:
    """Compare the voices of a dataset's speakers; None where it names fewer than two.

    Args:
        table: the clips, all of them usable.
        facts: of each clip.
        cache: holds the samples.
        encoder: folder of the speaker encoder.
    """
    if len({clip.speaker for clip in table.clips if clip.speaker}) < 2:
        return None
    chosen = enough_of_each([clip.speaker for clip in table.clips], facts)
    clips = [table.clips[index] for index in chosen]
    embeddings = clip_embeddings(clips, [facts[index] for index in chosen], cache, encoder)
    return compare_voices(embeddings, [clip.speaker or "" for clip in clips], main_labels(clips, table.targets))


def main_labels(clips: Sequence[Clip], targets: Sequence[str]) -> list[str]:
    """The label of the main target of each clip; empty where it has none.

    Args:
        clips: of a dataset.
        targets: of the dataset; the first one is the main one.
    """
    return [clip.labels.get(next(iter(targets), ""), "") for clip in clips]
