"""The units that figures are uncertain over: speakers, or recordings in their place."""

from __future__ import annotations

from emotions.audio.windows import IntArray
from training.data.clips import ClipTable
from training.data.split.splits import groups_of


def units_of(table: ClipTable) -> tuple[IntArray, str]:
    """Unit of each clip, (clips,), for intervals, and its kind: the speaker where all are known, else the recording."""
    by = "speaker" if all(clip.speaker for clip in table.clips) else "recording"
    return groups_of(table, by), by
