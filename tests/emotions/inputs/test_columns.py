"""Columns that mean a segment's start and end, by the names that programs and people give them."""

from __future__ import annotations

import pytest

from emotions.inputs.columns import standard_names, time_columns


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["Begin (s)", "End (s)"], {"Begin (s)": "start", "End (s)": "end"}),
        (["start_time", "end_time", "label"], {"start_time": "start", "end_time": "end"}),
        (["Onset", "stop_sec"], {"Onset": "start", "stop_sec": "end"}),
        (["start", "Stop"], {"Stop": "end"}),
        (["start", "end"], {}),
        (["begin"], {}),
        (["begin", "onset", "end"], {}),
        (["start_ms", "end_ms"], {}),
        (["StartTime", "EndTime"], {}),
        (["offset", "end"], {}),
        (["restart", "weekend"], {}),
    ],
)
def test_times_are_known_where_one_column_means_each(names: list[str], found: dict[str, str]) -> None:
    assert time_columns(names) == found


def test_they_are_known_beside_the_column_of_the_recordings() -> None:
    assert standard_names(["Audio File", "Begin (s)", "End (s)"]) == {
        "Audio File": "file",
        "Begin (s)": "start",
        "End (s)": "end",
    }
