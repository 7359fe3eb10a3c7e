"""Trackers without a network: parameters, figures, pictures and bundle in MLflow, Weights & Biases and Trackio."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.environments import python_with, run
from training.data.demo import make_demo_corpus

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
TRAIN = """
import sys
from emotions.cli import main
for arguments in (["train", "--config-file", "train.json"], ["export", "--run", "run", "--output", "bundle"]):
    sys.argv = ["emotions", *arguments]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, (arguments, ended.code)
"""
SEARCH = TRAIN.replace('"--config-file", "train.json"', '"--config-file", "search.json"').replace(
    '["export", "--run", "run"', '["export", "--tune-results", "tune/found"'
)
SEARCHED = """
import json
from mlflow import MlflowClient
client = MlflowClient()
runs = client.search_runs([client.get_experiment_by_name("emotions").experiment_id])
print(json.dumps([{"name": run.info.run_name, "search": run.data.tags.get("emotions.search"),
    "status": run.info.status, "rate": run.data.params.get("learn_params/lr/base_lr"),
    "uar": run.data.metrics.get("val/emotion_uar"),
    "files": [each.path for name in ("pictures", "bundle") for each in client.list_artifacts(run.info.run_id, name)]}
    for run in runs]))
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


def config(folder: Path, *loggers: str, trials: int = 0) -> None:
    """Recordings, and a pipeline that trains; and one that searches by ``trials``, in turn in one process."""
    make_demo_corpus(folder / "data", takes=4)
    step: dict[str, Any] = {
        "type": "train",
        "name": "tracked",
        "model": "SpectrogramCnnClassifier",
        "model_architecture": {"backbone": "test_efficientnet"},
        "dataset": {"path": ["$$ROOT_DIR$$", "data"]},
        "saving_data_params": {"saved_checkpoints_path": ["$$ROOT_DIR$$", "run"], "loggers": [*loggers]},
        "learn_params": {"max_epoch": 2, "spectrogram_size": 32},
        "accelerator": "cpu",
    }
    (folder / "train.json").write_text(json.dumps({"pipeline": [step]}))
    if trials:
        saving = {"tune_results_path": ["$$ROOT_DIR$$", "tune"], "tune_results_dir": ["found"], "loggers": [*loggers]}
        tune = {"num_samples": trials, "max_tune_epochs": 2, "cpus_per_trial": os.cpu_count()}
        learn = {"spectrogram_size": 32, "lr": {"base_lr": {"choice": [0.001, 0.01]}}}
        step = {**step, "type": "tune", "saving_data_params": saving, "learn_params": learn, "tune": tune}
        (folder / "search.json").write_text(json.dumps({"pipeline": [step]}))


def test_mlflow_has_all_of_a_run(tmp_path: Path) -> None:
    python = python_with("mlflow==3.17.2")
    config(tmp_path, "mlflow")
    settings = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    run(python, TRAIN, tmp_path, **settings)
    found = json.loads(run(python, MLFLOW, tmp_path, **settings).splitlines()[-1])
    assert found["status"] == "FINISHED"
    assert found["params"]["model"] == "SpectrogramCnnClassifier"
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


def test_each_trial_of_a_search_is_a_run_and_the_best_one_has_the_bundle(tmp_path: Path) -> None:
    python = python_with("mlflow==3.17.2")
    config(tmp_path, "mlflow", trials=3)
    settings = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    run(python, SEARCH, tmp_path, **settings)
    trials = json.loads(run(python, SEARCHED, tmp_path, **settings).splitlines()[-1])
    assert len(trials) == 3
    [search] = {trial["search"] for trial in trials}
    assert search.startswith("found-")
    assert sorted(trial["name"] for trial in trials) == [f"{search}-{number:04d}" for number in range(3)]
    assert {trial["status"] for trial in trials} == {"FINISHED"}
    assert {trial["rate"] for trial in trials} <= {"0.001", "0.01"}
    assert all(trial["uar"] is not None for trial in trials)
    [best] = [trial for trial in trials if trial["files"]]
    assert {"pictures/confusion_matrix.png", "bundle/manifest.json", "bundle/model.onnx"} <= {*best["files"]}
    [kept] = [path.parent for path in (tmp_path / "tune" / "found" / "trials").glob("*/run.json")]
    assert best["name"].endswith(kept.name)


def test_trials_in_one_process_are_runs_of_one_group_of_weights_and_biases(tmp_path: Path) -> None:
    python = python_with("wandb==0.31.0", "trackio==0.43.0")
    config(tmp_path, "wandb", "trackio", trials=2)
    run(python, SEARCH, tmp_path, WANDB_MODE="offline", TRACKIO_DIR=str(tmp_path / "trackio"))
    folders = sorted((tmp_path / "tune" / "found" / "trials").iterdir())
    runs = [json.loads((folder / "trackers.json").read_text())["wandb"] for folder in folders]
    assert len({*runs}) == 2
    bundled = []
    for folder, name in zip(folders, runs, strict=True):
        written = b"".join(path.read_bytes() for path in tmp_path.rglob(f"*{name}*.wandb"))
        assert b"found-" in written
        assert b"emotion_uar" in written
        assert (b"model.onnx" in written) is (folder / "run.json").exists()
        bundled.append(b"model.onnx" in written)
    assert sorted(bundled) == [False, True]
    kept = b"".join(path.read_bytes() for path in (tmp_path / "trackio").rglob("*") if path.is_file())
    assert kept.count(b'"_Group"') >= 2
