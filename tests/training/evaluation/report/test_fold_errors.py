"""The errors of all folds: what is told of each over time is what its fold's models made of its windows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emotions.audio.windows import FloatArray
from tests.conftest import Tone, WriteWav
from training.config.dataset import DatasetConfig
from training.data.clips import ClipTable, read_clips
from training.evaluation.report.fold_errors import Cut, of_folds
from training.metrics.predictions import NOTHING, FoldPredictions, PartPredictions

RATE = 16_000
CUT = Cut([RATE, 5 * RATE, 3 * RATE, RATE], [2 * RATE, RATE])
"""The first fold's model has windows of 2 s, the second's of 1 s."""


@pytest.fixture
def table(tmp_path: Path, tone: Tone, write_wav: WriteWav) -> ClipTable:
    for index, seconds in enumerate((1, 5, 3, 1)):
        write_wav(tmp_path / "data" / ("calm", "loud")[index // 2] / f"{index}.wav", tone(float(seconds)))
    return read_clips(DatasetConfig(path=str(tmp_path / "data")), tmp_path)


def logits_of(shares: list[float]) -> FloatArray:
    """Logits of ``loud`` with these probabilities, without a temperature."""
    loud = np.array(shares, np.float32)
    return np.log(np.stack([1 - loud, loud], axis=1)).astype(np.float32)


@pytest.fixture
def predictions(table: ClipTable, monkeypatch: pytest.MonkeyPatch) -> list[FoldPredictions]:
    """Two seeds of two folds; clip 1 is calm, of 5 s: three windows of 2 s, the last of which is moved back."""
    monkeypatch.setattr("training.evaluation.report.fold_errors.temperature_of", lambda *_: 1.0)
    first = [logits_of([0.1, 0.9, 0.6, 0.9]), logits_of([0.1, 0.7, 0.8, 0.7])]
    second = logits_of([0.9, 0.9, 0.9, 0.8])

    def part(clips: list[int], windows: list[int], logits: FloatArray) -> PartPredictions:
        return PartPredictions(np.array(clips), np.array(windows), {table.targets[0]: logits})

    return [
        each
        for seed in (0, 1)
        for each in (
            FoldPredictions(0, seed, 0, 1.0, NOTHING, part([0, 1], [0, 1, 1, 1], first[seed])),
            FoldPredictions(1, seed, 0, 1.0, NOTHING, part([3, 2], [1, 1, 1, 0], second)),
        )
    ]


def test_an_error_has_the_means_of_its_fold_s_models_in_each_window(
    table: ClipTable, predictions: list[FoldPredictions]
) -> None:
    (error,) = of_folds(table, predictions, table.targets[0], CUT, names=True)
    assert (error["name"], error["predicted"]) == ("calm/1.wav", "loud")
    steps = np.array(error["over_time"])
    assert steps[:, :2].tolist() == [[0, 2], [2, 4], [3, 5]]
    assert steps[:, 3] == pytest.approx([0.8, 0.7, 0.8], abs=1e-4)
    assert error["confidence"] == pytest.approx(steps[:, 3].mean(), abs=1e-3)
    (unnamed,) = of_folds(table, predictions, table.targets[0], CUT, names=False)
    assert {"name", "over_time"}.isdisjoint(unnamed)


def test_a_part_of_a_recording_is_told_at_its_place(table: ClipTable, predictions: list[FoldPredictions]) -> None:
    clips = [*table.clips]
    clips[1] = replace(clips[1], start=30.0, end=35.0)
    (error,) = of_folds(replace(table, clips=tuple(clips)), predictions, table.targets[0], CUT, names=True)
    assert [step[:2] for step in error["over_time"]] == [[30, 32], [32, 34], [33, 35]]
