"""Temperatures reach the graph, thresholds the manifest, and leaks and evaluations the card."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

import emotions
from emotions.bundle.bundle import read_bundle
from emotions.bundle.probe import read_probe
from emotions.bundle.summary import warnings
from emotions.errors import BundleError, ConfigError
from emotions.files.json_text import write_json
from emotions.folder.result import FileResult
from export.bundle import export
from export.bundle.calibration import calibration_of, check_risk, quoting
from export.bundle.export import export_run
from export.bundle.variants import ExportOptions
from export.sources import load_source
from serving.tables.columns import columns
from serving.tables.writer import rows
from training.run_folder.layout import RUN_FILE

_SURE = 600
HELD_OUT = {
    "part": "test clips",
    "unit": "speaker",
    "confidence": [0.97] * _SURE + [0.6] * _SURE,
    "wrong": [int(number % 60 == 0) for number in range(_SURE)] + [number % 2 for number in range(_SURE)],
    "speakers": [number % 20 for number in range(2 * _SURE)],
}
"""Answers of which the surer half is nearly all right."""


@pytest.fixture(scope="module")
def told(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose index says that leaks were allowed, and that of the answers below 0.97 every second is wrong."""
    folder = tmp_path_factory.mktemp("told") / "run"
    shutil.copytree(trained_run, folder)
    index = json.loads((folder / RUN_FILE).read_text())
    index["dataset"]["split"]["leaks"] = {"found": {"speaker": 2, "audio": 0}, "allowed": ["speaker"]}
    for found in index["calibration"].values():
        found["held_out"] = HELD_OUT
        found["verdict"] = "cannot be told"
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
    nothing = replace(predictions[0], probabilities={"эмоция": {"a": 1.0, "b": 0.0}}, thresholds={"эмоция": math.inf})
    assert nothing.unknown == {"эмоция": True}
    doubted = min(predictions, key=lambda each: each.confidence)
    sure = replace(doubted, thresholds={"эмоция": 0.0})
    assert doubted.unknown["эмоция"]
    assert sure.unknown == {"эмоция": False}
    template = dict.fromkeys(columns(predictor.manifest.targets, unknown_targets=predictor.manifest.thresholds))
    (row,) = rows(FileResult("a.wav", doubted), template)
    assert row["эмоция.unknown"] == "yes"
    assert row["эмоция"] == doubted.label


def test_the_probe_covers_the_threshold(careful: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(careful, tmp_path / "bundle")
    manifest = json.loads((copy / "manifest.json").read_text())
    for threshold in (0.5, "above_all", None):
        for about in manifest["calibration"].values():
            about["threshold"] = threshold
            if threshold is None:
                del about["threshold"]
        write_json(copy / "manifest.json", manifest)
        with pytest.raises(BundleError, match="thresholds are not those of the export"):
            read_probe(read_bundle(copy))


def test_a_report_by_folds_has_more_answers_than_the_run(told: Path, report: Path, tmp_path: Path) -> None:
    content = json.loads((report / "report.json").read_text())
    wrong = {**HELD_OUT, "wrong": [1] * len(HELD_OUT["confidence"]), "part": "test clips of the folds"}  # type: ignore[arg-type]
    (target, *_) = load_source(told).targets
    content["targets"] = {target: {**content["targets"]["state"], "held_out": wrong}}
    write_json(tmp_path / "report.json", content)
    found = calibration_of(quoting(tmp_path, load_source(told)), 0.1)
    assert found[target]["threshold"] == "above_all"
    assert found[target]["chosen_on"] == {"part": "test clips of the folds", "clips": 1200, "speakers": 20}
    assert "held_out" not in found[target]
    without = calibration_of(load_source(told), 0.1)
    assert without[target]["threshold"] == 0.97
    assert without[target]["answered"] == 0.5


def test_the_card_tells_calibration_leaks_and_evaluation(careful: Path) -> None:
    card = (careful / "README.md").read_text()
    assert "**Calibration was not seen to help" in card
    assert "`unknown` below a confidence of 0.970, chosen so that for new speakers at most 10% of the answers" in card
    assert "(it answers 50% of 1200 test clips)" in card
    assert "share speaker (2), which was allowed" in card
    assert "leave one speaker out; means over 2 seeds" in card
    assert "0.812 (0.700-0.900)" in card
    assert any("which was allowed" in line for line in warnings(read_bundle(careful).manifest))


def test_a_threshold_needs_held_out_clips_and_no_label_of_its_name(told: Path, trained_run: Path) -> None:
    source = load_source(told)
    check_risk(source, 0.1)
    few = r"max_risk: \w+: \d+ \w+ clips of \d speakers are too few .*: at least 50 clips of 6 .*--evaluation"
    with pytest.raises(ConfigError, match=few):
        check_risk(load_source(trained_run), 0.1)
    old = {target: {"temperature": 1.0, "risk_coverage": []} for target in source.targets}
    with pytest.raises(ConfigError, match="was written before held-out answers were kept"):
        check_risk(replace(source, calibration=old), 0.1)
    with pytest.raises(ConfigError, match="chosen on held-out clips of a run folder"):
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
