"""The recordings that are most wrong and most sure: by place, or by name with their sound."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conftest import Tone, WriteWav
from training.config.dataset import DatasetConfig
from training.data.clips import ClipTable, read_clips
from training.metrics.surest_errors import MOST, sounds_of, surest_errors


@pytest.fixture
def table(tmp_path: Path, tone: Tone, write_wav: WriteWav) -> ClipTable:
    for index in range(4):
        write_wav(tmp_path / "data" / ("calm", "loud")[index % 2] / f"{index}.wav", tone(1.0 + 5 * index))
    return read_clips(DatasetConfig(path=str(tmp_path / "data")), tmp_path)


def test_the_surest_error_stands_first_and_no_right_answer(table: ClipTable) -> None:
    clips, truth = np.array([0, 1, 2, 3]), np.array([0, 0, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.3, 0.7], [0.8, 0.2], [0.1, 0.9]], np.float32)
    found = surest_errors(table, clips, truth, probabilities, ["calm", "loud"], names=False)
    assert [(row["clip"], row["truth"], row["predicted"]) for row in found] == [
        ("clip 3", "loud", "calm"),
        ("clip 2", "calm", "loud"),
    ]
    assert found[0]["confidence"] == pytest.approx(0.8)
    assert sounds_of(table, found) == {}
    assert not [row for row in found if "name" in row]


def test_a_named_recording_can_be_played_for_its_first_seconds(table: ClipTable) -> None:
    probabilities = np.full((4, 2), 0.5, np.float32)
    found = surest_errors(table, np.arange(4), np.ones(4, np.int64), probabilities, ["calm", "loud"], names=True)
    sounds = sounds_of(table, found)
    assert sorted(sounds) == sorted(str(clip) for clip in table.clips)
    for clip in table.clips:
        head, _, content = sounds[str(clip)].partition(",")
        assert head == "data:audio/flac;base64"
        samples, rate = soundfile.read(io.BytesIO(base64.b64decode(content)))
        assert rate == 16_000
        assert len(samples) <= 12 * rate


def test_a_page_lists_few(table: ClipTable) -> None:
    clips = np.zeros(50, np.int64)
    found = surest_errors(table, clips, np.ones(50, np.int64), np.tile([0.6, 0.4], (50, 1)), ["a", "b"], names=True)
    assert len(found) == MOST
