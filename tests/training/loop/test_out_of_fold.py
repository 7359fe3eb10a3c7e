"""A training that folds validate: its model is trained on all, and measured by trainings without the clips."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from emotions.errors import ConfigError
from emotions.pipeline.runner import Context, load_pipeline
from tests.training.conftest import MakeStep
from training.loop import out_of_fold
from training.loop.fit import fit
from training.loop.job import Job, train
from training.metrics.predictions import FoldPredictions
from training.models.base import Classifier
from training.run_folder.read import load_run

FOLDS: dict[str, Any] = {"learn_params__keep": "last", "learn_params__max_epoch": 4, "dataset__split": {"val_folds": 3}}


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_the_model_trains_on_all_and_folds_measure_and_calibrate_it(
    tiny_run: Path, make_step: MakeStep, context: Context
) -> None:
    run = fit(make_step(**FOLDS), context)
    index, before = read(run / "run.json"), read(tiny_run / "run.json")
    parts, usual = (each["dataset"]["split"] for each in (index, before))
    assert parts["val"]["clips"] == 0
    assert parts["train"]["clips"] == usual["train"]["clips"] + usual["val"]["clips"]
    scores = index["metrics"]["validation"]["emotion"]
    assert scores["clips"] > before["metrics"]["validation"]["emotion"]["clips"]
    assert 0.1 < index["calibration"]["emotion"]["temperature"] < 10
    assert not (run / "folds").exists()
    assert not [name for name in read(run / "metrics.json")["history"] if name.startswith("val/")]
    assert "by folds" in index["protocol"] or "folds of" in index["protocol"]
    assert load_run(run).split.val == ()


def test_an_interrupted_one_goes_on_with_the_folds_that_are_left(
    make_step: MakeStep, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit(make_step("whole", **FOLDS), context)
    trained, one = [], out_of_fold.train_fold

    def interrupted(job: Job, fold: int) -> FoldPredictions:
        if len(trained) == 1:
            raise KeyboardInterrupt
        trained.append(fold)
        return one(job, fold)

    step = make_step("broken", **FOLDS)
    with monkeypatch.context() as patch:
        patch.setattr(out_of_fold, "train_fold", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fit(step, context)
    started: list[int] = []

    def counted(job: Job, model: Classifier, *rest: Any) -> None:
        started.append(job.corpus.split.train[0])
        train(job, model, *rest)

    monkeypatch.setattr(out_of_fold, "train", counted)
    resumed = fit(step, context)
    assert len(started) == read(whole / "run.json")["dataset"]["split"].get("val_folds", 3) - 1
    assert read(resumed / "metrics.json") == read(whole / "metrics.json")
    assert read(resumed / "run.json")["calibration"] == read(whole / "run.json")["calibration"]


@pytest.mark.parametrize(
    ("learn", "where", "said"),
    [
        ({}, "learn_params.keep", 'must be "last"'),
        ({"keep": "best"}, "learn_params.keep", 'must be "last"'),
        ({"keep": "last", "early_stopping_epochs": 3}, "learn_params.early_stopping_epochs", "must be null"),
    ],
)
@pytest.mark.parametrize("kind", ["train", "evaluate"])
def test_an_epoch_cannot_be_chosen_without_a_validation_part(
    tmp_path: Path, kind: str, learn: dict[str, Any], where: str, said: str
) -> None:
    dataset = {"path": "x", "split": {"val_folds": 3}}
    faults = faults_of(tmp_path, {"type": kind, "learn_params": learn, "dataset": dataset})
    assert said in faults[f"pipeline[0].{where}"]


def test_a_search_needs_a_validation_part(tmp_path: Path) -> None:
    faults = faults_of(tmp_path, {"type": "tune", "dataset": {"path": "x", "split": {"val_folds": 3}}})
    assert "must be 0" in faults["pipeline[0].dataset.split.val_folds"]


def faults_of(tmp_path: Path, step: dict[str, Any]) -> dict[str, str]:
    path = tmp_path / "pipeline.json"
    path.write_text(json.dumps({"pipeline": [{"model": "FunctionalsClassifier", **step}]}))
    with pytest.raises(ConfigError) as caught:
        load_pipeline(path)
    return {fault.where: fault.remedy for fault in caught.value.faults}
