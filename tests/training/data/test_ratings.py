"""Several raters of a clip: rows of a table, or columns of shares, read as distributions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from emotions.errors import ConfigError, DataError
from tests.conftest import Tone, WriteWav
from training.config.dataset import as_dataset
from training.data.clips import ClipTable, read_clips
from training.data.ratings import majorities

Read = Callable[..., ClipTable]
RATED: dict[str, Any] = {"emotion": {"raters": "rater"}}
SHARED: dict[str, Any] = {"emotion": {"shares": ["emotion.angry", "emotion.calm", "sad"]}}


@pytest.fixture
def read(tmp_path: Path, tone: Tone, write_wav: WriteWav) -> Read:
    """``read(header, *rows, targets=...)``: a table whose rows begin with the number of a recording, 0 to 3."""

    def make(header: str, *rows: str, **dataset: Any) -> ClipTable:
        for number in range(4):
            write_wav(tmp_path / f"{number}.wav", tone(1.0))
        lines = [header, *(f"{row[0]}.wav{row[1:]}" for row in rows)]
        (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
        return read_clips(as_dataset({"path": str(tmp_path / "table.csv"), **dataset}), tmp_path)

    return make


def test_rows_of_raters_become_shares_and_a_majority(read: Read) -> None:
    rows = ("0,angry,r1,s1,loud", "0,calm,r2,s1,", "0,angry,r3,s1,quiet", "1,calm,r1,s2,", "1,,r2,s2,", "2,sad,r3,s2,")
    table = read("file,emotion,rater,speaker,remark", *rows, targets=RATED)
    first, second, third = table.clips
    assert first.shares["emotion"] == {"angry": pytest.approx(2 / 3), "calm": pytest.approx(1 / 3)}
    assert (first.labels, first.speaker, first.raters) == ({"emotion": "angry"}, "s1", {"emotion": 3})
    assert second.shares["emotion"] == {"calm": 1}
    assert second.raters == {"emotion": 1}
    assert third.labels == {"emotion": "sad"}
    assert table.labels("emotion") == ("angry", "calm", "sad")
    assert table.soft == ("emotion",)
    assert not {"rater", "remark"} & first.columns.keys()  # which differ between the rows of a clip
    assert table.select([0, 1]).labelled_for(["emotion"]).clips[0].shares == first.shares


def test_a_table_as_it_is_imported_needs_no_config(read: Read) -> None:
    rows = ("0,0,0.5,angry,ann", "0,0.0,0.50,calm,bob", "0,0.5,1,calm,ann", "0,0.5,1,calm,bob")
    table = read("path,begin,end,label,rater", *rows)
    assert [(clip.start, clip.end, dict(clip.shares["emotion"])) for clip in table.clips] == [
        (0, 0.5, {"angry": 0.5, "calm": 0.5}),
        (0.5, 1, {"calm": 1}),
    ]
    assert read("path,begin,end,label,rater", *rows, targets={"mood": {"raters": "rater"}}).targets == ("mood",)
    once = read("path,label,annotator", "0,angry,ann", "1,calm,bob")
    assert not once.soft
    assert once.clips[0].columns["rater"] == "ann"


def test_columns_of_shares_are_read_and_rounded_ones_sum_to_one(read: Read) -> None:
    table = read(
        "file,emotion.angry,emotion.calm,sad", "0,0.33,0.33,0.33", "1,1,,", "2,0,0.5,0.5", "3,,,1.0", targets=SHARED
    )
    assert sum(table.clips[0].shares["emotion"].values()) == pytest.approx(1)
    assert [clip.shares["emotion"] for clip in table.clips[1:3]] == [{"angry": 1}, {"calm": 0.5, "sad": 0.5}]
    assert [clip.labels["emotion"] for clip in table.clips] == ["sad", "angry", "sad", "sad"]
    assert table.clips[0].raters == {}
    assert table.clips[0].columns == {}


def test_a_tie_is_kept_and_counts_as_the_label_that_is_given_more_often() -> None:
    assert majorities([{"a": 0.5, "b": 0.5}, {"b": 1.0}]) == ["b", "b"]
    assert majorities([{"b": 0.5, "a": 0.5}, {"ab": 0.5, "a": 0.5}, {"ab": 0.5, "b": 0.5}]) == ["a", "a", "ab"]
    assert majorities([]) == []


def test_the_fingerprint_tells_distributions_of_one_majority_apart(read: Read) -> None:
    head = "file,emotion,rater"
    rows = ["0,angry,r1", "0,angry,r2", "0,angry,r3", "1,calm,r1"]
    one = read(head, *rows, targets=RATED).fingerprint
    other = read(head, *rows[:2], "0,calm,r3", rows[3], targets=RATED).fingerprint
    assert one != other
    assert read(head, *rows[::-1], targets=RATED).fingerprint == one


@pytest.mark.parametrize(
    ("header", "rows", "targets", "said"),
    [
        ("emotion,rater", ["0,angry,r1", "1,calm,r1", "1,,r2"], RATED, r"rater has rated nothing .*: r2"),
        ("emotion,rater", ["0,angry,r1", "1,calm,r1", "2,,r1"], RATED, r"no label: nobody rated it .*: 2\.wav"),
        ("emotion,rater", ["0,angry,r1", "1,calm,"], RATED, r"row names no rater \(column 'rater'\): 1\.wav"),
        ("emotion,rater", ["0,angry,r1", "0,calm,r1"], RATED, r"rated twice by one rater"),
        (
            "emotion,who",
            ["0,angry,r1", "1,calm,r1"],
            RATED,
            r"has no column 'rater' of raters; its columns: emotion, who",
        ),
        (
            "emotion,rater,speaker",
            ["0,angry,r1,s1", "0,calm,r2,s2"],
            RATED,
            r"rows of one clip differ in the column 'speaker' \(write it alike\): 0\.wav",
        ),
        (
            "emotion,rater",
            ["0,angry,r1", "1,glad,r1"],
            {"emotion": {"raters": "rater", "labels": ["angry", "calm"]}},
            r"emotion 'glad' is not one of the labels",
        ),
        ("emotion,rater", ["0,angry,r1", "0,nan,r2", "1,calm,r1"], RATED, r"'nan' looks like a missing value"),
        (
            "emotion.angry,emotion.calm,sad",
            ["0,1,0,0", "1,2,1,0"],
            SHARED,
            r"shares of emotion sum to 3, not to 1 .*: 1\.wav",
        ),
        ("emotion.angry,emotion.calm,sad", ["0,1,0,0", "1,0.5,0.3,0"], SHARED, r"sum to 0.8, not to 1"),
        (
            "emotion.angry,emotion.calm,sad",
            ["0,1,0,0", "1,1.5,-0.5,0"],
            SHARED,
            r"share that is not a number of 0 or more",
        ),
        (
            "emotion.angry,emotion.calm,sad",
            ["0,1,0,0", "1,nan,1,0"],
            SHARED,
            r"share that is not a number of 0 or more",
        ),
        (
            "emotion.angry,emotion.calm,sad",
            ["0,1,0,0", "1,inf,1,0"],
            SHARED,
            r"share that is not a number of 0 or more",
        ),
        (
            "emotion.angry,emotion.calm,sad",
            ["0,1,0,0", "1,most,1,0"],
            SHARED,
            r"share that is not a number of 0 or more",
        ),
        ("emotion.angry,emotion.calm,sad", ["0,1,0,0", "1,,,"], SHARED, r"no label: nobody rated it .*: 1\.wav"),
        ("emotion.angry,emotion.calm", ["0,1,0", "1,0,1"], SHARED, r"has no column 'sad' to learn"),
        (
            "emotion.angry,emotion.calm,sad",
            ["0,1,0,0", "1,1,0,0"],
            SHARED,
            r"needs at least two classes, all clips are 'angry'",
        ),
    ],
)
def test_what_raters_cannot_mean_is_told(
    header: str, rows: list[str], targets: dict[str, Any], said: str, read: Read
) -> None:
    with pytest.raises(DataError, match=said):
        read(f"file,{header}", *rows, targets=targets)


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ({"x": {"labels": ["a", "b"], "dimensions": ["v"]}}, "is a target of labels and of dimensions at once"),
        ({"x": {"raters": "rater", "dimensions": ["v"]}}, "is a target of labels and of dimensions at once"),
        ({"x": {"shares": ["a", "b"], "raters": "rater"}}, "has shares beside labels or raters"),
        ({"x": {"shares": ["a", "a"]}}, "names a column of shares twice"),
        ({"x": {"shares": ["a", "b"]}, "y": {"dimensions": ["a"]}}, "the column 'a' would be learnt twice"),
        ({"x": {"raters": "r1"}, "y": {"raters": "r2"}}, "name one column of raters for all targets"),
    ],
)
def test_targets_of_two_kinds_are_refused(targets: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        as_dataset({"targets": targets})
