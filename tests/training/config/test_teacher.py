from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from emotions.errors import ConfigError
from emotions.pipeline.runner import load_pipeline, pipeline_schema
from training.config.evaluate import EvaluateStep
from training.config.teacher import TeacherConfig, path_of
from training.config.train import TrainStep
from training.config.tune import TuneStep
from training.tuning.spaces import train_step

STEP = {"model": "SpectrogramCnnClassifier"}


@pytest.mark.parametrize(
    ("written", "bundle"),
    [("bundles/a", "bundles/a"), (["bundles", "a"], ["bundles", "a"]), ({"bundle": "bundles/a"}, "bundles/a")],
)
def test_a_path_alone_is_the_block_with_its_defaults(written: Any, bundle: Any) -> None:
    step = TrainStep.model_validate({**STEP, "teacher": written})
    assert step.teacher == TeacherConfig(bundle=bundle, weight=0.5, temperature=2.0)
    assert path_of(bundle, Path("/project")) == Path("/project/bundles/a")
    assert path_of("/elsewhere/a", Path("/project")) == Path("/elsewhere/a")
    document = {"pipeline": [{"type": "train", **STEP, "teacher": written}]}
    jsonschema.Draft202012Validator(pipeline_schema()).validate(document)


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        [],
        5,
        {},
        {"bundle": "a", "weight": 0},
        {"bundle": "a", "weight": 1.5},
        {"bundle": "a", "weight": "0.5"},
        {"bundle": "a", "temperature": 0.0},
        {"bundle": "a", "temperature": float("nan")},
        {"bundle": "a", "temprature": 2.0},
    ],
)
def test_bad_values_are_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        TrainStep.model_validate({**STEP, "teacher": wrong})


@pytest.mark.parametrize("kind", ["train", "evaluate", "tune"])
def test_unlabelled_recordings_need_a_teacher(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "config.json"
    step: dict[str, Any] = {"type": kind, **STEP, "dataset": {"unlabelled": "more"}}
    path.write_text(json.dumps({"pipeline": [step]}))
    with pytest.raises(ConfigError, match=r"pipeline\[0\].dataset.unlabelled: more; needs a teacher"):
        load_pipeline(path)
    path.write_text(json.dumps({"pipeline": [{**step, "teacher": "bundles/a"}]}))
    assert load_pipeline(path).steps


def test_the_root_is_replaced_in_the_path_of_a_bundle(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"pipeline": [{"type": "train", **STEP, "teacher": ["$$ROOT_DIR$$", "bundles", "a"]}]}))
    teacher = load_pipeline(path, root=tmp_path).steps[0].config.teacher
    assert path_of(teacher.bundle, Path("/another")) == tmp_path / "bundles" / "a"


def test_folds_and_trials_have_the_teacher_of_their_step() -> None:
    teacher = {"bundle": "a", "weight": 0.25}
    known = TeacherConfig(bundle="a", weight=0.25)
    assert EvaluateStep.model_validate({**STEP, "teacher": teacher}).training().teacher == known
    tune = TuneStep.model_validate({**STEP, "teacher": teacher, "learn_params": {"batch_size": None}})
    assert train_step(tune, {"learn_params.batch_size": 8}).teacher == known
