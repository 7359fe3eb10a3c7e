"""Names and groups of runs, without any tracker's package."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from training.config.train import TrainStep
from training.loop import trackers
from training.loop.trackers import end_runs, tracker_loggers
from training.run_folder.trackers import runs_of


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What loggers were made of."""
    found: list[tuple[Any, ...]] = []

    def make(name: str, folder: Path, run: str | None, group: str | None) -> Any:
        found.append((name, folder.name, run, group))
        return SimpleNamespace(version=run or "new", log_hyperparams=lambda _: None)

    monkeypatch.setattr(trackers, "_MAKING", {"wandb": make})
    return found


def step(**changes: Any) -> TrainStep:
    saving = {"loggers": ["wandb"]}
    about = {"type": "train", "model": "FunctionalsClassifier", "dataset": {"path": "data"}}
    return TrainStep.model_validate({**about, "saving_data_params": saving, **changes})


def test_a_trial_is_named_by_its_search_and_number_and_a_resumed_one_goes_on(
    tmp_path: Path, made: list[tuple[Any, ...]]
) -> None:
    folder = tmp_path / "0003"
    folder.mkdir()
    for _ in range(2):
        tracker_loggers(step(name="mine"), folder, "found-a1b2c3d4")
    assert made == [
        ("found-a1b2c3d4-0003", "0003", None, "found-a1b2c3d4"),
        ("found-a1b2c3d4-0003", "0003", "new", "found-a1b2c3d4"),
    ]
    assert runs_of(folder) == {"wandb": "new"}


def test_a_run_of_its_own_has_the_name_of_its_step_or_folder(tmp_path: Path, made: list[tuple[Any, ...]]) -> None:
    tracker_loggers(step(name="mine"), tmp_path)
    tracker_loggers(step(), tmp_path)
    assert [each[0] for each in made] == ["mine", tmp_path.name]
    assert {each[3] for each in made} == {None}


def test_a_run_that_is_open_ends_with_its_training(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = []
    module = SimpleNamespace(run=object(), finish=lambda: ended.append(True))
    monkeypatch.setitem(sys.modules, "wandb", module)
    end_runs()
    module.run = None
    end_runs()
    assert ended == [True]
    monkeypatch.delitem(sys.modules, "wandb")
    end_runs()
