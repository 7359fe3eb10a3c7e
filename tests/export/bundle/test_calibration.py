"""Temperatures reach the graph, thresholds the manifest, and leaks and evaluations the card."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

import emotions
from emotions.bundle.manifest import read_bundle
from emotions.bundle.summary import warnings
from emotions.errors import ConfigError
from emotions.files.json_text import write_json
from emotions.folder.result import FileResult
from export.bundle import export
from export.bundle.calibration import check_risk
from export.bundle.export import export_run
from export.bundle.variants import ExportOptions
from export.sources import load_source
from serving.tables.columns import columns
from serving.tables.writer import rows
from training.run_folder.layout import RUN_FILE


@pytest.fixture(scope="module")
def told(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose index says that leaks were allowed, and that a third of its surest answers are wrong."""
    folder = tmp_path_factory.mktemp("told") / "run"
    shutil.copytree(trained_run, folder)
    index = json.loads((folder / RUN_FILE).read_text())
    index["dataset"]["split"]["leaks"] = {"found": {"speaker": 2, "audio": 0}, "allowed": ["speaker"]}
    for found in index["calibration"].values():
        found["risk_coverage"] = [
            {"threshold": 0.97, "coverage": 0.5, "risk": 0.05},
            {"threshold": 0.6, "coverage": 1.0, "risk": 0.3},
        ]
        found["lowered_ece"] = False
    write_json(folder / RUN_FILE, index)
    return folder


@pytest.fixture(scope="module")
def report(told: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report by folds on the run's model and data."""
    folder, index = tmp_path_factory.mktemp("report"), json.loads((told / RUN_FILE).read_text())
    figures = {
        "uar": 0.812,
        "uar_ci": [0.7, 0.9],
        "wa": 0.8,
        "wa_ci": None,
        "macro_f1": 0.79,
        "macro_f1_ci": [0.6, 0.9],
    }
    write_json(
        folder / "report.json",
        {
            "model": index["model"],
            "protocol": "leave one speaker out",
            "seeds": [0, 1],
            "folds": [],
            "leaks": {"found": {}, "allowed": []},
            "dataset": {"fingerprint": index["dataset"]["fingerprint"]},
            "targets": {"state": {**figures, "clips": 20}},
        },
    )
    return folder


@pytest.fixture(scope="module")
def careful(told: Path, report: Path, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's bundle with thresholds; its graph is that of the bundle without them."""
    wanted = ExportOptions(max_risk=0.1, evaluation=report)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "to_onnx", lambda *_: onnx.load(bundle / "model.onnx"))
        return export_run(told, tmp_path_factory.mktemp("careful") / "bundle", wanted=wanted)


def test_the_manifest_holds_temperature_and_threshold(careful: Path, bundle: Path) -> None:
    manifest = read_bundle(careful).manifest
    assert manifest.thresholds == dict.fromkeys(manifest.targets, 0.97)
    assert all(found["max_risk"] == 0.1 and found["temperature"] > 0 for found in manifest.calibration.values())
    assert read_bundle(bundle).manifest.thresholds == {}


def test_what_is_below_the_threshold_is_unknown_and_keeps_its_label(careful: Path, corpus: Path) -> None:
    predictor = emotions.load(careful, device="cpu")
    predictions = [predictor.predict(path) for path in sorted(corpus.glob("*.wav"))]
    for each in predictions:
        assert each.unknown == {
            target: max(each.probabilities[target].values()) < 0.97 for target in each.probabilities
        }
        assert each.label in predictor.manifest.targets["эмоция"]
    doubted = min(predictions, key=lambda each: each.confidence)
    sure = replace(doubted, thresholds={"эмоция": 0.0})
    assert doubted.unknown["эмоция"]
    assert sure.unknown == {"эмоция": False}
    template = dict.fromkeys(columns(predictor.manifest.targets, unknown_targets=predictor.manifest.thresholds))
    (row,) = rows(FileResult("a.wav", doubted), template)
    assert row["эмоция.unknown"] == "yes"
    assert row["эмоция"] == doubted.label


def test_the_card_tells_calibration_leaks_and_evaluation(careful: Path) -> None:
    card = (careful / "README.md").read_text()
    assert "did not lower the calibration error" in card
    assert "`unknown` below a confidence of 0.970" in card
    assert "share speaker (2), which was allowed" in card
    assert "leave one speaker out; means over 2 seeds" in card
    assert "0.812 (0.700-0.900)" in card
    assert any("which was allowed" in line for line in warnings(read_bundle(careful).manifest))


def test_a_threshold_needs_validation_clips_and_no_label_of_its_name(trained_run: Path) -> None:
    source = load_source(trained_run)
    check_risk(source, 0.1)
    with pytest.raises(ConfigError, match="chosen on the validation clips of a run folder"):
        check_risk(replace(source, calibration={}), 0.1)
    with pytest.raises(ConfigError, match="a label is called 'unknown' already"):
        check_risk(replace(source, targets={"state": ["negative", "unknown"]}), 0.1)


def test_an_evaluation_of_something_else_is_refused(told: Path, report: Path, tmp_path: Path) -> None:
    other = json.loads((report / "report.json").read_text())
    other["model"] = "TransformerClassifier"
    write_json(tmp_path / "report.json", other)
    with pytest.raises(ConfigError, match="is no evaluation of this model on the data"):
        export_run(told, tmp_path / "bundle", wanted=ExportOptions(evaluation=tmp_path))
    with pytest.raises(ConfigError, match="cannot be read"):
        export_run(told, tmp_path / "bundle", wanted=ExportOptions(evaluation=tmp_path / "none"))
