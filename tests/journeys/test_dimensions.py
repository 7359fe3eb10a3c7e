"""Arousal and valence from a table to a service: trained from scratch, measured on speakers that it never heard."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import emotions
from emotions.cli import run
from serving.settings import Settings
from tests.serving.conftest import Service

pytestmark = pytest.mark.slow


def test_known_functions_of_pitch_rate_and_level_are_learnt(tmp_path: Path) -> None:
    corpus, table = tmp_path / "corpus", tmp_path / "table.csv"
    assert run(["data", "demo", str(corpus), "--dimensions"]) == 0
    train = {
        "type": "train",
        "model": "FunctionalsClassifier",
        "name": "affect",
        "dataset": {
            "path": str(corpus),
            "targets": {"affect": {"dimensions": ["arousal", "valence"], "range": [0, 10], "scale": [0, 1]}},
            "split": {"val": 0.2, "test": 0.2},
        },
        "learn_params": {"max_epoch": 40, "padding_sec": 3, "batch_size": 32},
        "saving_data_params": {"saved_checkpoints_path": [str(tmp_path / "run")]},
    }
    steps = [train, {"type": "export", "output": str(tmp_path / "bundle")}]
    config = {"pipeline": steps, "load_dataset_workers_num": 0, "seed": 0}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert run(["train", "--config-file", str(tmp_path / "config.json")]) == 0

    index = json.loads((tmp_path / "run" / "run.json").read_text())
    rows = index["metrics"]["test"]["affect"]["dimensions"]
    assert {name: row["ccc"] > 0.9 for name, row in rows.items()} == {"arousal": True, "valence": True}
    assert index["dataset"]["split"]["dimensions"] == {"affect": {"scale": [0.0, 1.0], "range": [0.0, 10.0]}}
    assert (tmp_path / "run" / "values.png").is_file()
    assert "CCC" in (tmp_path / "run" / "report.html").read_text()
    assert "affect.arousal" in (tmp_path / "bundle" / "README.md").read_text()

    assert run(["predict", str(corpus), "--bundle", str(tmp_path / "bundle"), "--output", str(table)]) == 0
    answers = {row["file"]: row for row in csv.DictReader(table.read_text().splitlines())}
    truth = {row["file"]: row for row in csv.DictReader((corpus / "table.csv").read_text().splitlines())}
    off = [abs(float(answers[name]["affect.valence"]) / 10 - float(truth[name]["valence"])) for name in truth]
    assert sum(off) / len(off) < 0.1

    service = Service(emotions.load(tmp_path / "bundle", device="cpu", threads=1), Settings(threads=1))
    body = service.post((corpus / "01_01.wav").read_bytes()).json()
    service.engine.close()
    for name, value in body["values"]["affect"].items():
        assert value == pytest.approx(float(answers["01_01.wav"][f"affect.{name}"]), abs=1e-4)
