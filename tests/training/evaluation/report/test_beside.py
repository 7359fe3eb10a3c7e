"""Beside its model an evaluation measures another one on the same folds, and altered recordings of test speakers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emotions.errors import ConfigError
from emotions.pipeline.runner import Context, load_pipeline
from tests.pages import text_of
from tests.training.conftest import build_step
from training.config.evaluate import EvaluateStep
from training.evaluation.cross_validate import cross_validate
from training.evaluation.perturbations import corruptions
from training.metrics.classification import confusions
from training.metrics.intervals import difference

SMALL = {"members": 1, "layer_1_size": 8, "input_dropout": 0.0, "dropout": 0.0}


def test_another_model_and_altered_recordings_are_reported(
    corpus_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learn = {"padding_sec": 0.5, "max_epoch": 6, "batch_size": 4, "keep": "last", "lr": {"base_lr": 3e-3}}
    train = build_step(corpus_folder, tmp_path, model="FunctionalsClassifier", model_architecture=SMALL)
    known = train.model_dump(exclude_unset=True, exclude={"type", "saving_data_params", "learn_params"})
    known["dataset"] = {**known["dataset"], "split": {"val_folds": 2}, "targets": ["emotion"]}
    asked = {"protocol": "group_kfold", "folds": 3, "jobs": 1, "output": [str(tmp_path / "out")], "robustness": True}
    asked["names"] = True
    other = {"learn_params": {"max_epoch": 1, "lr": {"base_lr": 1e-9}}}
    step = EvaluateStep.model_validate({**known, **asked, "learn_params": learn, "compare": other})
    cross_validate(step, Context(tmp_path, seed=0, workers=0, config={}, quiet=True))
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    found = report["targets"]["emotion"]
    assert found["compared"]["uar_difference"] == pytest.approx(found["uar"] - found["compared"]["uar"])
    low, high = found["compared"]["uar_difference_ci"]
    assert low <= found["compared"]["uar_difference"] <= high
    tests = found["robustness"]
    assert [test["name"] for test in tests] == [test.name for test in corruptions(())]
    assert all(
        0 <= test["unchanged"] <= 1 and test["uar_loss"] == pytest.approx(found["uar"] - test["uar"]) for test in tests
    )
    assert next(test for test in tests if test["name"] == "polarity")["unchanged"] == 1.0
    assert found["calibration"]["nll_after"] > 0.1 or found["calibration"]["nll_after"] >= 0
    assert {fold["val"] for fold in report["folds"]} == {0}
    for error in found["surest_errors"]:
        steps = np.array(error["over_time"])
        assert steps[0, 0] == 0
        assert (np.diff(steps[:, :2], axis=1) <= 0.5).all()
        assert steps[:, 2:].sum(axis=1) == pytest.approx(1, abs=1e-3)
    assert (tmp_path / "out" / "report.html").read_text().count("<canvas") == len(found["surest_errors"])
    printed, page = capsys.readouterr().out, text_of((tmp_path / "out" / "report.html").read_text())
    for told in (printed, page):
        assert "UAR of the model that it is compared with, on the same folds and seeds" in told
        assert f"of {len(tests)} tests passed on altered recordings of speakers that were not trained on" in told


def test_the_interval_of_a_difference_covers_it() -> None:
    """Speakers differ much, models by 0.05: paired, the difference is known far better than each figure."""
    covered = widths = 0.0
    for seed in range(60):
        random = np.random.default_rng(seed)
        speakers = np.repeat(np.arange(12), 40)
        truth = random.integers(0, 2, len(speakers))
        ease = random.uniform(0.5, 0.9, 12)[speakers]
        draw = random.random(len(speakers))
        one, two = (np.where(draw < level, truth, 1 - truth)[None] for level in (ease + 0.05, ease))
        uar, more, bounds = difference(*(confusions(truth, each, 2, speakers) for each in (one, two)))
        assert bounds is not None
        covered += bounds[0] <= 0.05 <= bounds[1]
        widths += bounds[1] - bounds[0]
        assert 0 < uar < 1
        assert more == pytest.approx(sum(bounds) / 2)
    assert covered >= 52
    assert widths / 60 < 0.1


def test_two_speakers_give_no_interval() -> None:
    truth = np.array([0, 1, 0, 1])
    counts = confusions(truth, truth[None], 2, np.array([0, 0, 1, 1]))
    assert difference(counts, counts) == (1.0, 0.0, None)


@pytest.mark.parametrize(
    ("compare", "where", "said"),
    [
        ({"model_architecture": {"member": 3}}, ".model_architecture.member", "did you mean 'members'?"),
        ({"learn_params": {"max_epoch": 0}}, ".learn_params.max_epoch", "must be greater than"),
        ({}, "", "must differ from the step"),
        ({"model_architecture": {"members": 8}}, "", "must differ from the step"),
    ],
)
def test_a_model_that_cannot_be_compared_is_refused(
    tmp_path: Path, compare: dict[str, Any], where: str, said: str
) -> None:
    path = tmp_path / "pipeline.json"
    step = {"type": "evaluate", "model": "FunctionalsClassifier", "compare": compare}
    path.write_text(json.dumps({"pipeline": [step]}))
    with pytest.raises(ConfigError) as caught:
        load_pipeline(path)
    faults = {fault.where: fault.remedy for fault in caught.value.faults}
    assert said in faults[f"pipeline[0].compare{where}"]
