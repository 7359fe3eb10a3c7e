"""The recordings that are most wrong and most sure: by place, or by name with their sound."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Tone, WriteWav
from training.config.dataset import DatasetConfig
from training.data.clips import ClipTable, read_clips
from training.metrics.surest_errors import MOST, sounds_of, surest_errors


@pytest.fixture
def table(tmp_path: Path, tone: Tone, write_wav: WriteWav) -> ClipTable:
    for index in range(4):
        write_wav(tmp_path / "data" / ("calm", "loud")[index % 2] / f"{index}.wav", tone(1.0 + 5 * index))
    return read_clips(DatasetConfig(path=str(tmp_path / "data")), tmp_path)


def test_the_surest_error_stands_first_and_no_right_answer(table: ClipTable, tmp_path: Path) -> None:
    clips, truth = np.array([0, 1, 2, 3]), np.array([0, 0, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.3, 0.7], [0.8, 0.2], [0.1, 0.9]], np.float32)
    found = surest_errors(table, clips, truth, probabilities, ["calm", "loud"], names=False)
    assert [(row["clip"], row["truth"], row["predicted"]) for row in found] == [
        ("clip 3", "loud", "calm"),
        ("clip 2", "calm", "loud"),
    ]
    assert found[0]["confidence"] == pytest.approx(0.8)
    assert sounds_of(table, found, tmp_path) == {}
    assert not [row for row in found if "name" in row]


def test_what_was_answered_over_time_is_told_beside_the_name_alone(table: ClipTable) -> None:
    clips, truth, shares = np.array([1, 3]), np.array([0, 0]), np.array([[0.1, 0.9], [0.4, 0.6]], np.float32)
    for names in (True, False):
        found = surest_errors(
            table, clips, truth, shares, ["calm", "loud"], names=names, steps_of=lambda clip: [[0.0, float(clip)]]
        )
        assert [row.get("over_time") for row in found] == ([[[0.0, 1.0]], [[0.0, 3.0]]] if names else [None, None])


def test_a_named_recording_is_played_from_its_place(table: ClipTable, tmp_path: Path) -> None:
    probabilities = np.full((4, 2), 0.5, np.float32)
    found = surest_errors(table, np.arange(4), np.ones(4, np.int64), probabilities, ["calm", "loud"], names=True)
    sounds = sounds_of(table, found, tmp_path / "reports" / "first")
    assert sorted(sounds) == sorted(str(clip) for clip in table.clips)
    assert sounds["calm/0.wav"] == "../../data/calm/0.wav"


@pytest.mark.parametrize(
    ("file", "start", "end", "place"),
    [
        ("a b#?<img>.wav", None, None, "a%20b%23%3F%3Cimg%3E.wav"),
        ("long.wav", 2.5, 4.0, "long.wav#t=2.5,4"),
        ("long.wav", None, 4.0, "long.wav#t=0,4"),
        ("long.wav", 2.5, None, "long.wav#t=2.5"),
    ],
)
def test_a_place_is_an_address(
    table: ClipTable, tmp_path: Path, file: str, start: float | None, end: float | None, place: str
) -> None:
    clip = replace(table.clips[0], file=tmp_path / file, start=start, end=end)
    assert sounds_of(replace(table, clips=(clip,)), [{"name": str(clip)}], tmp_path) == {str(clip): place}


def test_nothing_is_asked_of_another_host(table: ClipTable, tmp_path: Path) -> None:
    clip = replace(table.clips[0], file="https://example.org/a.wav")
    assert sounds_of(replace(table, clips=(clip,)), [{"name": str(clip)}], tmp_path) == {}


def test_a_page_lists_few(table: ClipTable) -> None:
    clips = np.zeros(50, np.int64)
    found = surest_errors(table, clips, np.ones(50, np.int64), np.tile([0.6, 0.4], (50, 1)), ["a", "b"], names=True)
    assert len(found) == MOST
