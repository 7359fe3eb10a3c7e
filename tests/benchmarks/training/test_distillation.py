"""The benchmark of distillation: folds of whole speakers, and a figure for every student and lesson."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.training import distillation
from tests.conftest import WriteWav
from tests.training.conftest import make_corpus


@given(st.sets(st.text(min_size=1, max_size=3), min_size=4, max_size=12), st.integers(2, 4), st.integers(0, 5))
def test_each_speaker_is_left_out_once(speakers: set[str], folds: int, seed: int) -> None:
    found = distillation.folds_of([*speakers], folds, seed)
    assert len(found) == folds
    assert sorted(name for fold in found for name in fold) == sorted(speakers)


def test_uar_is_the_mean_of_the_recalls() -> None:
    assert distillation.uar([("a", "a"), ("a", "a"), ("a", "b"), ("a", "a"), ("b", "a"), ("b", "b")]) == 0.625


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_every_lesson_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_wav: WriteWav) -> None:
    monkeypatch.setattr(distillation, "RECIPE", Path("configs/recipes/small_corpus_offline.json"))
    monkeypatch.setattr(distillation, "TEACHER", {"augmentation": {"copies": 0}, "max_epoch": 2})
    monkeypatch.setattr(distillation, "FEW", 2)
    monkeypatch.setattr(distillation, "folds_of", lambda *_: [["anna"]])
    student = distillation.STUDENTS["a small CNN"]
    learn = {**student["learn_params"], "lr": {"base_lr": 0.01}, "batch_size": 2, "max_epoch": 6}
    tiny = {**student, "model_architecture": {"backbone": "test_efficientnet"}, "learn_params": learn}
    monkeypatch.setattr(distillation, "STUDENTS", {"tiny": tiny})
    data = make_corpus(tmp_path / "data", write_wav)
    found = distillation.measured(data, 2, 0, ["tiny"], tmp_path)
    names = {"teacher", *(f"tiny: {title}" for title in distillation.LESSONS)}
    assert {*found["uar"]} == {*found["bundles"]} == names
    assert all(0 <= value <= 1 for value in found["uar"].values())
    speeds = distillation.clips_per_sec(found["bundles"], [row.file for row in distillation.rows_of(data)][:4], 1)
    assert {*speeds} == names
    assert min(speeds.values()) > 0
