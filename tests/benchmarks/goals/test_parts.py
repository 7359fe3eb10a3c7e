"""Each part gives goals with figures, on little."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.goals import models_of_others, training
from benchmarks.goals.models import made_bundle
from benchmarks.goals.serving import starts
from training.data.demo import make_demo_corpus


def test_ratios_are_read_from_the_lines_of_the_races(monkeypatch: pytest.MonkeyPatch) -> None:
    def eight(*_: object) -> Iterator[str]:
        yield from ("fp32 360 MiB, int8 104 MiB", "ratio 2.50 (at least 1.5)")

    def pipeline(*_: object) -> Iterator[str]:
        yield from ("bundle: 5 clips/s", "ratio 1.60 (median; 1.50 to 1.70; at least 1.15)")

    monkeypatch.setattr(models_of_others.int8, "benchmark", eight)
    monkeypatch.setattr(models_of_others.huggingface, "benchmark", pipeline)
    assert [round(goal.figure, 3) for goal in models_of_others.eight_bits()] == [2.5, 1.6, 4.0]


def test_the_growth_of_time_is_an_exponent(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {10: {"audit": [2.0, 2.0, 100.0], "split": [0.1, 0.1, 90.0]}}
    found[100] = {"audit": [20.0, 20.0, 5_000.0], "split": [0.5, 0.5, 91.0]}
    monkeypatch.setattr(training, "steps", found.__getitem__)
    goals = {goal.what: goal for goal in training.corpora([10, 100])}
    assert goals["audit, growth of time from 10 clips, exponent"].figure == pytest.approx(1)
    assert goals["audit, growth of time from 10 clips, exponent"].met
    assert not goals["audit, 100 clips, peak memory"].met
    assert "split, growth of time from 10 clips, exponent" not in goals


@pytest.mark.slow
def test_a_small_model_is_made_and_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.goals.models.SIZES", {"tiny": ("test_efficientnet", 32)})
    monkeypatch.setattr("benchmarks.goals.serving._STARTS", 1)
    bundle = made_bundle(tmp_path, make_demo_corpus(tmp_path / "data", speakers=4, takes=6), "tiny")
    goals = {goal.what: goal.figure for goal in starts(bundle, tmp_path)}
    assert 0.2 < goals["emotions serve, ready"] < 60
    assert 50 < goals["memory of all its processes, shared pages counted once"] < 2_000
    assert 0 < goals["emotions --help"] < 20
