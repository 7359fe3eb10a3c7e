"""Columns of numbers, read as the dimensions of a target."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emotions.errors import ConfigError, DataError
from tests.conftest import Tone, WriteWav
from training.config.dataset import DatasetConfig, as_dataset
from training.data.clips import ClipTable, read_clips

Read = Callable[..., ClipTable]
AFFECT: dict[str, Any] = {"dimensions": ["arousal", "valence"], "range": [-1, 1], "scale": [1, 7]}


@pytest.fixture
def read(tmp_path: Path, tone: Tone, write_wav: WriteWav) -> Read:
    """``read(*rows, header=..., **targets)``: a table of clips, whose rows are their cells after the file's name."""

    def make(*rows: str, header: str = "speaker,arousal,valence", **targets: Any) -> ClipTable:
        for number in range(len(rows)):
            write_wav(tmp_path / f"{number}.wav", tone(0.5))
        lines = [f"file,{header}", *(f"{number}.wav,{row}" for number, row in enumerate(rows))]
        (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
        return read_clips(as_dataset({"path": str(tmp_path), "targets": targets or {"affect": AFFECT}}), tmp_path)

    return make


def test_numbers_of_any_scale_are_mapped_to_the_range(read: Read) -> None:
    table = read("a,1,7", "a,4,2.5", "b,7,1")
    assert [clip.values["affect"] for clip in table.clips] == [(-1, 1), (0, -0.5), (1, -1)]
    assert table.targets == ()
    assert table.dimensions["affect"].columns_scale == (1, 7)


def test_a_missing_value_is_masked_and_a_clip_without_any_is_a_fault(read: Read) -> None:
    first = read("a,1,", "b,7,nan", "b,3,2", "b,3,4").clips[0].values["affect"]
    assert first[0] == -1
    assert math.isnan(first[1])
    with pytest.raises(DataError, match=r"clip has no label.*arousal or valence"):
        read("a,1,2", "b,3,4", "b,,")


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ("8", "outside 1 to 7"),
        ("0.9", "outside 1 to 7"),
        ("high", "not a finite number"),
        ("inf", "not a finite number"),
        ("1e999", "not a finite number"),
        ("-inf", "not a finite number"),
    ],
)
def test_a_value_that_is_no_value_of_the_scale_is_refused_by_name(read: Read, cell: str, why: str) -> None:
    with pytest.raises(DataError, match=rf"2\.wav.*|{why}") as refused:
        read("a,1,2", "b,3,4", f"b,{cell},2")
    assert why in str(refused.value)
    assert "2.wav" in str(refused.value)
    assert "'arousal'" in str(refused.value)


def test_constant_and_absent_values_are_refused(read: Read) -> None:
    with pytest.raises(DataError, match="'affect' needs values of 'valence' that differ, all clips have 0"):
        read("a,1,4", "b,3,4")
    with pytest.raises(DataError, match="has no column 'valence' to learn"):
        read("a,1,", "b,3,")
    with pytest.raises(DataError, match="has no column 'valence' to learn"):
        read("a,1", "b,3", header="speaker,arousal")


def test_labels_and_dimensions_are_mixed(read: Read) -> None:
    emotion = {"labels": ["joy", "anger"]}
    table = read(
        "a,1,2,joy", "b,3,4,anger", "b,,,joy", header="speaker,arousal,valence,emotion", emotion=emotion, affect=AFFECT
    )
    assert table.targets == ("emotion",)
    assert table.labels("emotion") == ("anger", "joy")
    assert [sorted(clip.values) for clip in table.clips] == [["affect"], ["affect"], []]
    assert "arousal" not in table.clips[0].columns
    with pytest.raises(DataError, match="emotion 'sad' is not one of the labels"):
        read("a,1,2,joy", "b,3,4,sad", header="speaker,arousal,valence,emotion", emotion=emotion, affect=AFFECT)


def test_values_count_in_the_fingerprint(read: Read) -> None:
    assert read("a,1,7", "b,7,1").fingerprint != read("a,1,7", "b,6,1").fingerprint


@pytest.mark.parametrize(
    ("targets", "why"),
    [
        ({"affect": {**AFFECT, "labels": ["a", "b"]}}, "labels"),
        ({"affect": {**AFFECT, "unit": "points"}}, "unit"),
        ({"affect": {**AFFECT, "range": [1, 1]}}, "must ascend"),
        ({"affect": {**AFFECT, "range": [0, "x"]}}, "range"),
        ({"affect": {**AFFECT, "scale": [7, 1]}}, "must ascend"),
        ({"affect": {**AFFECT, "scale": [0, float("inf")]}}, "scale"),
        ({"affect": {**AFFECT, "dimensions": []}}, "dimensions"),
        ({"affect": {**AFFECT, "dimensions": ["arousal", "arousal"]}}, "twice"),
        ({"arousal": {"labels": ["a", "b"]}, "affect": AFFECT}, "learnt twice"),
        ({"affect": AFFECT, "other": {"dimensions": ["arousal"]}}, "learnt twice"),
        ({"emotion": {"labels": ["a"]}}, "labels"),
        ({"emotion": {}}, "labels"),
        ({}, "targets"),
    ],
)
def test_targets_that_are_malformed_are_refused(targets: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        as_dataset({"targets": targets})


def test_a_list_of_columns_is_what_it_was() -> None:
    config = DatasetConfig(targets=["emotion", "state"])
    assert (config.columns, config.dimensional) == (["emotion", "state"], {})
    assert DatasetConfig().columns is None
