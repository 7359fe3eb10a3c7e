"""Trackers without a network: parameters, figures, pictures and bundle in MLflow, Weights & Biases and Trackio."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.environments import python_with, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
TRAIN = """
import sys
from emotions.cli import main
for arguments in (["data", "demo", "data"], ["train", "--config-file", "train.json"],
                  ["export", "--run", "run", "--output", "bundle"]):
    sys.argv = ["emotions", *arguments]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, (arguments, ended.code)
"""
MLFLOW = """
import json
from mlflow import MlflowClient
client = MlflowClient()
[run] = client.search_runs([client.get_experiment_by_name("emotions").experiment_id])
print(json.dumps({"params": run.data.params, "metrics": run.data.metrics, "status": run.info.status,
    "pictures": [each.path for each in client.list_artifacts(run.info.run_id, "pictures")],
    "bundle": [each.path for each in client.list_artifacts(run.info.run_id, "bundle")]}))
"""


def config(folder: Path, *loggers: str) -> None:
    step = {
        "type": "train",
        "name": "tracked",
        "model": "FunctionalsClassifier",
        "dataset": {"path": ["$$ROOT_DIR$$", "data"]},
        "saving_data_params": {"saved_checkpoints_path": ["$$ROOT_DIR$$", "run"], "loggers": [*loggers]},
        "learn_params": {"max_epoch": 2},
        "accelerator": "cpu",
    }
    (folder / "train.json").write_text(json.dumps({"pipeline": [step]}))


def test_mlflow_has_all_of_a_run(tmp_path: Path) -> None:
    python = python_with("mlflow==3.17.2")
    config(tmp_path, "mlflow")
    settings = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    run(python, TRAIN, tmp_path, **settings)
    found = json.loads(run(python, MLFLOW, tmp_path, **settings).splitlines()[-1])
    assert found["status"] == "FINISHED"
    assert found["params"]["model"] == "FunctionalsClassifier"
    assert "val/emotion_uar" in found["metrics"]
    assert "pictures/confusion_matrix.png" in found["pictures"]
    assert {"bundle/manifest.json", "bundle/model.onnx"} <= {*found["bundle"]}


OFFLINE = """
import json, sqlite3, sys
from pathlib import Path
from wandb.sdk.internal.datastore import DataStore
from wandb.proto import wandb_internal_pb2 as records

kinds, keys, files = set(), set(), set()
for path in Path().rglob("*.wandb"):
    store = DataStore()
    store.open_for_scan(str(path))
    while data := store.scan_data():
        record = records.Record()
        record.ParseFromString(data)
        kinds.add(record.WhichOneof("record_type"))
        for item in record.history.item:
            keys.add(item.key or "/".join(item.nested_key))
        for item in record.config.update:
            keys.add("config." + (item.key or "/".join(item.nested_key)))
        for entry in record.request.log_artifact.artifact.manifest.contents:
            files.add(entry.path)
        for entry in record.artifact.manifest.contents:
            files.add(entry.path)
print(json.dumps({"kinds": sorted(kinds), "keys": sorted(keys), "files": sorted(files)}))
"""
TRACKIO = """
import json, trackio
[run] = trackio.Api().runs("emotions")
print(json.dumps({"config": run.config, "keys": sorted({key for row in run.history() for key in row})}, default=str))
"""


def test_weights_and_biases_and_trackio_have_all_of_a_run_without_a_network(tmp_path: Path) -> None:
    python = python_with("wandb==0.31.0", "trackio==0.43.0")
    config(tmp_path, "wandb", "trackio")
    settings = {"WANDB_MODE": "offline", "TRACKIO_DIR": str(tmp_path / "trackio")}
    print(run(python, TRAIN, tmp_path, **settings))
    offline = json.loads(run(python, OFFLINE, tmp_path, **settings).splitlines()[-1])
    assert {"config.model", "val/emotion_uar", "pictures/confusion_matrix"} <= {*offline["keys"]}
    assert "model.onnx" in offline["files"] or "artifact" in offline["kinds"]
    print(run(python, TRACKIO, tmp_path, **settings))
