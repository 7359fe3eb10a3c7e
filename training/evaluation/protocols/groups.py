"""Columns that clips are grouped by."""

from __future__ import annotations

from collections.abc import Sequence

from emotions.errors import DataError
from training.data.clips import ClipTable
from training.data.data_faults import some

_MAX_GROUPS = 20  # a column with more values tells clips apart rather than groups


def group_columns(table: ClipTable, asked: Sequence[str]) -> dict[str, list[str | None]]:
    """Columns to measure by: name -> value of each clip.

    A column that identifies each speaker is left out, unless asked for.

    Args:
        table: the dataset.
        asked: columns that the user names; by default all with few values.
    """
    names = sorted({name for clip in table.clips for name in clip.columns} | {*table.targets})
    missing = [name for name in asked if name not in names]
    if missing:
        raise DataError(f"groups: there is no column {some(map(repr, missing))}; the columns are {', '.join(names)}")
    grouping = asked or [name for name in names if name not in table.targets and _is_grouping(table, name)]
    return {name: [clip.columns.get(name) or clip.labels.get(name) for clip in table.clips] for name in grouping}


def _is_grouping(table: ClipTable, name: str) -> bool:
    values = [clip.columns.get(name) for clip in table.clips]
    distinct = {value for value in values if value}
    pairs = {(value, clip.speaker) for value, clip in zip(values, table.clips, strict=True) if value}
    speakers = {clip.speaker for clip in table.clips}
    names_speakers = len(pairs) == len(distinct) >= len(speakers) > 1
    return 2 <= len(distinct) <= min(_MAX_GROUPS, len(values) // 2) and not names_speakers
