"""The main job on real recordings: train with speakers held out, export, predict, serve; one answer everywhere."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emotions.files.json_text import read_json, write_json
from tests.commands import finished
from tests.conftest import BuildOnce
from tests.servers import Server, running

CHANCE = 0.25
LEARN = {"padding_sec": 3, "spectrogram_size": 64, "batch_size": 16, "max_epoch": 8}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(2700)]  # the first test of each dataset waits for its training
# As class folders the speaker stands in the file name; annotations.json has it in a column.
DATASETS: dict[str, dict[str, Any]] = {
    "folders": {"format": "folders", "speaker": {"pattern": r"^[^/]+/(\d\d)"}},
    "annotations": {"format": "annotations"},
}


@dataclass(frozen=True)
class Job:
    kind: str
    folder: Path
    output: str

    @property
    def run(self) -> Path:
        return self.folder / "run"

    @property
    def bundle(self) -> Path:
        return self.folder / "bundle"

    def rows(self) -> dict[str, dict[str, str]]:
        with (self.folder / "table.csv").open(encoding="utf-8", newline="") as file:
            return {row["file"]: row for row in csv.DictReader(file)}


def pipeline(kind: str, data: Path, folder: Path) -> dict[str, Any]:
    train = {
        "type": "train",
        "model": "SpectrogramCnnClassifier",
        "model_architecture": {"backbone": "mobilenetv3_small_100"},
        "learn_params": {**LEARN, "lr": {"base_lr": 0.002}},
        "saving_data_params": {"saved_checkpoints_path": [str(folder), "run"]},
        "dataset": {"path": str(data), "license": "CC0-1.0", **DATASETS[kind]},
    }
    export = {"type": "export", "output": str(folder / "bundle")}
    predict = {"type": "predict", "inputs": str(data), "output": str(folder / "table.csv")}
    return {"pipeline": [train, export, predict], "seed": 1}


@pytest.fixture(scope="module", params=["folders", "annotations"])
def job(request: pytest.FixtureRequest, emodb4: Path, build_once: BuildOnce) -> Job:
    def build(folder: Path) -> Path:
        config = folder / "pipeline.json"
        write_json(config, pipeline(request.param, emodb4, folder))
        done = finished("train", "--config-file", config, cwd=folder)
        assert done.returncode == 0, done.stderr
        (folder / "stdout").write_text(done.stdout, encoding="utf-8")
        return folder

    folder = build_once(f"main_job-{request.param}", build)
    return Job(request.param, folder, (folder / "stdout").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def server(job: Job) -> Iterator[Server]:
    with running(job.folder, EMOTIONS_BUNDLE=str(job.bundle)) as started:
        yield started


def test_the_held_out_uar_is_above_chance_and_told_with_its_protocol(job: Job) -> None:
    metrics = read_json(job.run / "metrics.json")
    uar = metrics["test"]["emotion"]["uar"]
    assert uar > CHANCE + 0.15, metrics
    assert f"{uar:.3f}" in job.output
    assert "speaker-disjoint" in job.output
    manifest = read_json(job.bundle / "manifest.json")
    assert manifest["metrics"]["test"]["emotion"]["uar"] == uar
    assert "speaker-disjoint" in json.dumps(manifest["metrics"])


def test_no_speaker_is_on_two_sides(job: Job, emodb4: Path) -> None:
    split = read_json(job.run / "split.json")
    speakers = [{Path(name).name[:2] for name in split[part]} for part in ("train", "val", "test")]
    assert all(speakers)
    assert len(set.union(*speakers)) == sum(map(len, speakers)) == 10


def test_labels_are_those_of_the_data(job: Job) -> None:
    targets = read_json(job.bundle / "manifest.json")["targets"]
    if job.kind == "folders":
        assert targets == {"emotion": ["Angry", "Happy", "Neutral", "Sad"]}
    else:
        assert sorted(targets["emotion"]) == ["гнев", "нейтраль", "печаль", "радость"]
        assert sorted(targets["state"]) == ["нейтральное", "отрицательное", "положительное"]


def test_every_recording_has_a_row(job: Job, emodb4: Path) -> None:
    rows = job.rows()
    assert set(rows) == {file.relative_to(emodb4).as_posix() for file in emodb4.glob("*/*.wav")}
    assert not any(row["error"] for row in rows.values())


def test_folder_service_and_torch_give_one_answer(job: Job, server: Server, emodb4: Path) -> None:
    rows = job.rows()
    for name in list(rows)[::17]:
        file = emodb4 / name
        command = ["curl", "--silent", "--show-error", "--form", f"file=@{file}", f"{server.url}/v1/predict"]
        served = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        by_torch = torch_probabilities(job.run, file)
        for target, scores in served["probabilities"].items():
            assert max(scores, key=scores.get) == rows[name][target]
            for index, (label, score) in enumerate(scores.items()):
                assert float(rows[name][f"{target}.{label}"]) == pytest.approx(score, abs=1e-4)
                assert by_torch[target][index] == pytest.approx(score, abs=1e-4)


def torch_probabilities(run: Path, file: Path) -> dict[str, Any]:
    import torch

    from emotions.audio.decode import decode
    from emotions.audio.windows import WindowSpec, pool, split, window_weights
    from training.run_folder.read import load_run

    loaded = load_run(run)
    trained = loaded.trained
    window = trained.spec.window_samples
    windows = split(decode(file), WindowSpec(window, window))
    with torch.inference_mode():
        logits = trained.model(torch.from_numpy(np.array(windows.samples)), torch.from_numpy(windows.lengths))
    heat = {target: found["temperature"] for target, found in loaded.calibration.items()}
    weights = window_weights(windows.starts, windows.lengths, window)
    return {target: pool((values / heat[target]).softmax(-1).numpy(), weights) for target, values in logits.items()}
