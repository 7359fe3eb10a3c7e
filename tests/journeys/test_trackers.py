"""Trackers without a network: parameters, figures, pictures and bundle in MLflow, Weights & Biases and Trackio."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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
import sys
from pathlib import Path
from training.config.train import TrainStep
from training.loop.trackers import tracker_loggers
from training.run_folder.trackers import add_bundle, add_pictures
name = sys.argv[1]
step = TrainStep.model_validate({"type": "train", "name": "tracked", "model": "FunctionalsClassifier",
    "dataset": {"path": ["data"]}, "saving_data_params": {"loggers": [name]}})
folder = Path("run")
for epoch in range(2):  # begun, and gone on with
    [logger] = tracker_loggers(step, folder)
    logger.log_metrics({"val/emotion_uar": 0.5 + epoch / 4}, epoch)
    logger.finalize("success")
faults = add_pictures(folder) + add_bundle(folder, Path("bundle"))
assert not faults, faults
"""


@pytest.fixture
def folder(tmp_path: Path, tiny_bundle: Path) -> Path:
    """A run folder with a picture, and a bundle."""
    (tmp_path / "run").mkdir()
    figure = np.zeros((8, 8, 3), np.uint8)
    Image.fromarray(figure).save(tmp_path / "run" / "curves.png")
    shutil.copytree(tiny_bundle, tmp_path / "bundle")
    return tmp_path


def test_weights_and_biases_has_all_of_a_run_without_a_network(folder: Path) -> None:
    python = python_with("wandb==0.31.0", "trackio==0.43.0")
    settings = {"WANDB_MODE": "offline"}
    run(python, OFFLINE.replace("sys.argv[1]", "'wandb'"), folder, **settings)
    written = b"".join(path.read_bytes() for path in folder.rglob("*.wandb"))
    for text in (b"FunctionalsClassifier", b"emotion_uar", b"model.onnx", b"curves"):
        assert text in written


def test_trackio_has_all_of_a_run_without_a_network(folder: Path) -> None:
    python = python_with("wandb==0.31.0", "trackio==0.43.0")
    settings = {"TRACKIO_DIR": str(folder / "trackio")}
    run(python, OFFLINE.replace("sys.argv[1]", "'trackio'"), folder, **settings)
    written = b"".join(path.read_bytes() for path in (folder / "trackio").rglob("*") if path.is_file())
    for text in (b"FunctionalsClassifier", b"val/emotion_uar", b"0.75", b"pictures/curves"):
        assert text in written
