"""Columns that clips are grouped by, and what stands for a speaker where intervals are drawn."""

from __future__ import annotations

from collections.abc import Sequence

from emotions.audio.windows import IntArray
from emotions.errors import DataError
from training.data.clips import Clip, ClipTable
from training.data.data_faults import some
from training.data.splits import groups_of

_MOST_GROUPS = 20


def units_of(table: ClipTable) -> tuple[IntArray, str]:
    """What intervals are drawn over, (clips,), and what it is: the speaker where all are known, else the recording."""
    by = "speaker" if all(clip.speaker for clip in table.clips) else "recording"
    return groups_of(table, by), by


def group_columns(table: ClipTable, asked: Sequence[str]) -> dict[str, list[str | None]]:
    """Columns to measure by: name -> value of each clip.

    A column that tells every speaker by name is none, unless asked for.

    Args:
        table: the dataset.
        asked: columns that the user wants; by default all with few values.

    Raises:
        DataError: a column is not there.
    """
    names = sorted({name for clip in table.clips for name in clip.columns} | {*table.targets})
    missing = [name for name in asked if name not in names]
    if missing:
        raise DataError(f"groups: there is no column {some(map(repr, missing))}; the columns are {', '.join(names)}")
    chosen = asked or [name for name in names if name not in table.targets and _tells_groups(table, name)]
    return {name: [_value(clip, name) for clip in table.clips] for name in chosen}


def _value(clip: Clip, name: str) -> str | None:
    return clip.columns.get(name) or clip.labels.get(name)


def _tells_groups(table: ClipTable, name: str) -> bool:
    values = [clip.columns.get(name) for clip in table.clips]
    distinct = {value for value in values if value}
    pairs = {(value, clip.speaker) for value, clip in zip(values, table.clips, strict=True) if value}
    speakers = {clip.speaker for clip in table.clips}
    names_speakers = len(pairs) == len(distinct) >= len(speakers) > 1
    return 2 <= len(distinct) <= min(_MOST_GROUPS, len(values) // 2) and not names_speakers
