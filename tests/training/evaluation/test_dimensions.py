"""Dimensions in evaluations by folds and in suites: measured, compared, altered, told without names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import emotions
from emotions.errors import ConfigError, DataError
from emotions.pipeline.runner import Context
from tests.conftest import make_tiny_bundle
from tests.pages import text_of
from tests.training.conftest import SPEAKERS
from tests.training.evaluation.test_cross_validate import step_of
from training.config.dataset import DatasetConfig
from training.config.evaluate import EvaluateStep
from training.evaluation.cross_corpus.cross_corpus import cross_corpus
from training.evaluation.cross_validate import cross_validate
from training.evaluation.suites.suites import run_suite

AFFECT: dict[str, Any] = {"dimensions": ["arousal", "valence"], "range": [-1, 3], "scale": [1, 7]}


@pytest.fixture
def table(corpus_folder: Path, tmp_path: Path) -> Path:
    """The corpus with arousal by its emotion, and valence that every fifth clip lacks."""
    known = json.loads((corpus_folder / "annotations.json").read_text())
    lines = ["file,speaker,emotion,arousal,valence"]
    for number, (name, row) in enumerate(known.items()):
        arousal = {"calm": 2.0, "wild": 6.0}[row["emotion"]] + 0.1 * (number % 3)
        valence = "" if number % 5 == 4 else f"{1 + number % 7}"
        lines.append(f"{corpus_folder / name},{row['speaker']},{row['emotion']},{arousal},{valence}")
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "table.csv"


@pytest.fixture
def context(tmp_path: Path, known_splits: None) -> Context:
    return Context(tmp_path, seed=0, workers=0, config={}, quiet=True)


def affect_step(table: Path, output: Path, targets: dict[str, Any], **changes: Any) -> EvaluateStep:
    return step_of(table, output, dataset={"path": str(table), "targets": targets, "split": {"test": 0.4}}, **changes)


def test_folds_measure_dimensions_and_choose_by_them(
    table: Path, tmp_path: Path, context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    candidates = [{"learn_params": {"max_epoch": 1}}, {"learn_params": {"max_epoch": 2}}]
    changes = {"protocol": "holdout", "choose": {"candidates": candidates, "folds": 3}, "seeds": [0, 1]}
    compare = {"learn_params": {"dimension_loss": "mae"}}
    cross_validate(affect_step(table, tmp_path / "out", {"affect": AFFECT}, compare=compare, **changes), context)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    found = report["targets"]["affect"]
    assert found["dimensions"].keys() == {"arousal", "valence"}
    assert found["range"] == [-1, 3]
    assert found["clips"] == sum(fold["test"] for fold in report["folds"]) == 8
    assert found["dimensions"]["valence"]["clips"] < 8  # missing values are masked
    assert len(found["per_speaker"]) == found["speakers"] == 2
    assert found["compared"].keys() == {"ccc", "ccc_difference", "ccc_difference_ci"}
    assert report["choose"]["target"] == "affect"
    page = text_of((tmp_path / "out" / "report.html").read_text())
    printed = capsys.readouterr().out
    assert "inner CCC of 1" in page
    assert "the mean CCC of affect" in printed
    assert "affect.arousal: CCC" in printed
    assert "CCC of the model that it is compared with" in page
    assert not [name for name in SPEAKERS if name in json.dumps(report) + page + printed]


@pytest.mark.slow
def test_dimensions_beside_labels_are_altered_too(table: Path, tmp_path: Path, context: Context) -> None:
    targets = {"emotion": {"labels": ["calm", "wild"]}, "affect": AFFECT}
    cross_validate(affect_step(table, tmp_path / "out", targets, protocol="holdout", robustness=True), context)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["targets"].keys() == {"emotion", "affect"}
    tests = report["targets"]["affect"]["robustness"]
    assert len(tests) == len(report["targets"]["emotion"]["robustness"]) == 28
    for test in tests:
        assert 0 <= test["unchanged"] <= 1
        loss = test["ccc_loss"] <= 0.05
        assert test["passed"] == (test["unchanged"] >= 0.95 if test["kind"] == "small change" else loss)
    page = text_of((tmp_path / "out" / "report.html").read_text())
    assert "CCC lost" in page
    assert "UAR lost" in page


def test_thresholds_and_corpora_of_dimensions_are_refused(table: Path, tmp_path: Path, context: Context) -> None:
    step = affect_step(table, tmp_path / "out", {"affect": AFFECT}, max_risk=0.1)
    with pytest.raises(ConfigError, match="max_risk: a threshold is for models of labels alone"):
        cross_validate(step, context)
    several = step.model_copy(
        update={"max_risk": None, "protocol": "cross_corpus", "corpora": [step.dataset, step.dataset]}
    )
    with pytest.raises(ConfigError, match="cross_corpus measures targets of labels, not dimensions"):
        cross_corpus(several, context)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundles") / "affect_alone"
    return make_tiny_bundle(path, targets={"affect": ["arousal", "valence"]}, ranges={"affect": (-1.0, 3.0)})


def test_suites_measure_a_bundle_of_dimensions(
    table: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predictor = emotions.load(bundle, device="cpu", threads=1)
    turned = {**AFFECT, "dimensions": ["valence", "arousal"]}  # matched by name
    dataset = DatasetConfig.model_validate({"path": str(table), "targets": {"affect": turned}})
    assert run_suite(predictor, dataset, tmp_path, "accuracy", tmp_path / "accuracy")
    passed = run_suite(predictor, dataset, tmp_path, "robustness", tmp_path / "robustness")
    accuracy, report = (
        json.loads((tmp_path / name / "report.json").read_text()) for name in ("accuracy", "robustness")
    )
    assert accuracy["overall"] == report["overall"]
    assert accuracy["tests"] == []
    assert report["overall"]["dimensions"]["valence"]["clips"] == 16
    assert len(report["tests"]) == 28
    assert passed == all(test["passed"] for test in report["tests"])
    assert report["limits"] == {"min_unchanged": 0.95, "max_value_change": 0.05, "max_ccc_loss": 0.05}
    assert any(test["moved"] > 0 for test in report["tests"])
    assert "of the values move by at most 5%" in text_of((tmp_path / "robustness" / "report.html").read_text())
    assert "of 28 tests passed" in capsys.readouterr().out


def test_other_dimensions_and_fairness_are_refused(table: Path, bundle: Path, tmp_path: Path) -> None:
    predictor = emotions.load(bundle, device="cpu", threads=1)
    with pytest.raises(DataError, match="fairness compares how often labels are right"):
        run_suite(predictor, DatasetConfig(path=str(table)), tmp_path, "fairness", tmp_path / "out")
    other = DatasetConfig.model_validate(
        {"path": str(table), "targets": {"affect": {**AFFECT, "dimensions": ["arousal"]}}}
    )
    with pytest.raises(DataError, match=r"has the dimensions affect \(arousal\), the bundle answers affect"):
        run_suite(predictor, other, tmp_path, "accuracy", tmp_path / "out")
    # Without targets those of the bundle are looked for: here their columns are on another scale.
    with pytest.raises(DataError, match="has a value outside -1 to 3"):
        run_suite(predictor, DatasetConfig(path=str(table)), tmp_path, "accuracy", tmp_path / "out")
