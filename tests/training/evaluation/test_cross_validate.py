"""The evaluate step: folds in processes, resumed where it stopped, reported without names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emotions.errors import ConfigError, DataError
from emotions.pipeline.runner import Context
from tests.conftest import WriteWav
from tests.pages import text_of
from tests.training.conftest import SPEAKERS, build_step, make_corpus
from training.config.evaluate import EvaluateStep
from training.evaluation import cross_validate as crossvalidation
from training.evaluation.cross_validate import cross_validate
from training.evaluation.protocols import fold_job
from training.metrics.predictions import read_predictions


@pytest.fixture(scope="module")
def data(corpus_folder: Path) -> Path:
    return corpus_folder


def step_of(data: Path, output: Path, **changes: Any) -> EvaluateStep:
    train = build_step(data, output / "unused", learn_params__max_epoch=1).model_dump(exclude_unset=True)
    known = {key: value for key, value in train.items() if key not in ("type", "saving_data_params")}
    return EvaluateStep.model_validate(
        {"protocol": "group_kfold", "folds": 3, "jobs": 1, "output": [str(output)], **known, **changes}
    )


@pytest.fixture
def context(tmp_path: Path, known_splits: None) -> Context:
    return Context(tmp_path, seed=0, workers=0, config={}, quiet=True)


@pytest.mark.slow
def test_an_interrupted_evaluation_goes_on_and_ends_as_an_unbroken_one(
    data: Path, tmp_path: Path, context: Context, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, done = fold_job.run_fold, []

    def interrupted(shared: Any, task: Any) -> None:
        if len(done) == 2:
            raise KeyboardInterrupt
        run(shared, task)
        done.append(task)

    with monkeypatch.context() as patch:
        patch.setattr("training.evaluation.protocols.process_pool.run_fold", interrupted)
        with pytest.raises(KeyboardInterrupt):
            cross_validate(step_of(data, tmp_path / "a"), context)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "a" / "folds").glob("*.npz")}
    assert len(kept) == 2
    cross_validate(step_of(data, tmp_path / "a"), context)
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    cross_validate(step_of(data, tmp_path / "b", jobs=2), context)
    first, second = (json.loads((tmp_path / name / "report.json").read_text()) for name in "ab")
    assert first["targets"] == second["targets"]
    assert not [*(tmp_path / "b" / "folds").glob("*.part")]
    told = json.dumps(first) + text_of((tmp_path / "a" / "report.html").read_text()) + capsys.readouterr().out
    assert not [name for name in SPEAKERS if name in told]
    assert "speaker-disjoint 3-fold (5 speakers" in told
    emotion = first["targets"]["emotion"]
    assert emotion["clips"] == 20
    assert emotion["speakers"] == 5
    assert emotion["uar_ci"][0] <= emotion["uar"] <= emotion["uar_ci"][1]
    assert "lowered_ece" in emotion["calibration"]
    assert first["leaks"]["found"]["speaker"] == 0
    assert sum(fold["test"] for fold in first["folds"]) == 20


def test_another_model_or_seed_shares_no_fold(data: Path, tmp_path: Path, context: Context) -> None:
    keys = []
    for changes in ({}, {"seeds": [1]}, {"model_architecture": {"backbone": "test_efficientnet", "dropout": 0.3}}):
        step = step_of(data, tmp_path / "out", protocol="holdout", max_risk=0.2, **changes)
        cross_validate(step, context)
        keys.append({path.name for path in (tmp_path / "out" / "folds").glob("*.npz")})
    assert [len(found) for found in keys] == [1, 2, 3]
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["targets"]["emotion"]["calibration"]["unknown"]["max_risk"] == 0.2


def test_a_leak_stops_before_anything_is_trained(
    data: Path, tmp_path: Path, context: Context, write_wav: WriteWav
) -> None:
    copied = make_corpus(tmp_path / "data", write_wav)
    (copied / "anna" / "calm_0.wav").write_bytes((copied / "bert" / "calm_0.wav").read_bytes())
    with pytest.raises(
        DataError, match=r"audio: anna/calm_0.wav \(\w+\) and bert/calm_0.wav \(\w+\): the same samples"
    ):
        cross_validate(step_of(copied, tmp_path / "out"), context)
    assert not (tmp_path / "out").exists()
    dataset = {
        **step_of(copied, tmp_path / "out").dataset.model_dump(exclude_unset=True),
        "split": {"allow_leaks": ["audio"]},
    }
    cross_validate(step_of(copied, tmp_path / "out", protocol="group_kfold", folds=3, dataset=dataset), context)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["leaks"]["allowed"] == ["audio"]
    assert "leaks were allowed (audio)" in (tmp_path / "out" / "report.html").read_text().lower()


def test_damaged_answers_count_as_none(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    assert read_predictions(path) is None
    path.write_bytes(b"PK\x03\x04 cut off")
    assert read_predictions(path) is None
    np.savez(path, about=np.array('{"format": 99}'))
    assert read_predictions(path) is None


def test_a_checkpoint_to_start_from_and_several_devices_are_refused(
    data: Path, tmp_path: Path, context: Context
) -> None:
    with pytest.raises(ConfigError, match="may have seen its test speakers"):
        saving = {"start_from_saved_checkpoint_path": ["x.ckpt"]}
        cross_validate(step_of(data, tmp_path, saving_data_params=saving), context)
    with pytest.raises(ConfigError, match="set jobs for more folds at once"):
        cross_validate(step_of(data, tmp_path, devices=2), context)
    assert crossvalidation.FOLDS == "folds"


def test_a_column_that_is_not_there_is_refused(data: Path, tmp_path: Path, context: Context) -> None:
    with pytest.raises(DataError, match="groups: there is no column 'age'"):
        cross_validate(step_of(data, tmp_path / "out", groups=["age"], protocol="holdout"), context)


def test_folds_learn_from_a_teacher_and_the_report_says_what_it_has_learnt_from(
    data: Path, teacher_bundle: Path, tmp_path: Path, context: Context
) -> None:
    known = step_of(data, tmp_path / "out").dataset.model_dump(exclude_unset=True)
    dataset = {**known, "split": {"test": 0.4}}
    step = step_of(data, tmp_path / "out", protocol="holdout", teacher=str(teacher_bundle), dataset=dataset)
    cross_validate(step, context)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["teacher"]["trained_on"] == report["dataset"]["fingerprint"]
    assert report["teacher"]["saw_held_out"] is True
    page = text_of((tmp_path / "out" / "report.html").read_text())
    assert "Learnt from the teacher tiny-teacher@" in page
    assert "recordings of this dataset that validate or test here: figures are too good" in page
    (kept,) = (tmp_path / "out" / "folds").glob("*.npz")
    cross_validate(step.model_copy(update={"teacher": None}), context)
    assert len([*(tmp_path / "out" / "folds").glob("*.npz")]) == 2
    assert kept.exists()


def test_folds_are_measured_by_the_raters_beside_the_majority(
    rated: Path, tmp_path: Path, context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = {"path": str(rated), "targets": {"emotion": {"raters": "rater"}}, "split": {"test": 0.4}}
    cross_validate(step_of(rated, tmp_path / "out", protocol="holdout", dataset=dataset, max_risk=0.2), context)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["raters"]["emotion"]["ties"] == 3
    found = report["targets"]["emotion"]
    assert found["clips"] == sum(found["per_class"][label]["clips"] for label in ("calm", "wild")) == 8
    assert found["calibration"]["raters"]["kl_after"] > 0
    page = text_of((tmp_path / "out" / "report.html").read_text())
    assert "Krippendorff's alpha is" in page
    assert "distance from the raters: KL" in page.replace("Distance", "distance")
    assert "distance from the raters: KL" in capsys.readouterr().out
