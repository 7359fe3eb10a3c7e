"""A tiny model that was really trained, on a corpus with Cyrillic labels, and what is exported from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from emotions.files.json_text import read_json, write_json
from emotions.pipeline.runner import Context
from export.bundle import export
from export.bundle.export import export_run
from export.bundle.variants import ExportOptions
from tests.conftest import BuildOnce, WriteWav
from training.config.train import TrainStep
from training.loop.fit import fit
from training.run_folder.layout import RUN_FILE
from training.run_folder.read import load_run

WINDOW = 8_000
ALL = ExportOptions(formats=("onnx", "torchscript", "pt2"), variants=("fp16", "int8"), embedding=True, allow_loss=True)
TARGETS = {"эмоция": ["гнев", "покой"], "state": ["negative", "neutral"]}
SPEAKERS = ("anna", "bert", "cora", "dirk", "emma")


class Standin(nn.Module):
    """The shape of a classifier in a few operators: loudness of the real samples through a linear layer a target."""

    def __init__(self, targets: dict[str, int], seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layers = nn.ModuleList([nn.Linear(8, classes) for classes in targets.values()])
        self.targets = tuple(targets)
        self.register_buffer("position", torch.arange(WINDOW))

    def features(self, waveform: Tensor, length: Tensor) -> Tensor:
        """(batch, 8): level of eight parts of the window."""
        inputs = torch.where(self.position < length.unsqueeze(1), waveform, 0.0)
        return inputs.view(-1, 8, WINDOW // 8).abs().mean(dim=2) * 10

    def forward(self, waveform: Tensor, length: Tensor) -> dict[str, Tensor]:
        """Logits by target."""
        features = self.features(waveform, length)
        return {target: layer(features) for target, layer in zip(self.targets, self.layers, strict=True)}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def corpus(build_once: BuildOnce, write_wav: WriteWav) -> Path:
    """Five speakers, four clips of 0.3 to 0.9 s each; not to be changed."""
    return build_once("recordings", lambda folder: make_corpus(folder, write_wav))


def make_corpus(folder: Path, write_wav: WriteWav) -> Path:
    """Write the corpus to a folder."""
    random = np.random.default_rng(0)
    rows: dict[str, Any] = {}
    for speaker in SPEAKERS:
        for (emotion, hz), state in zip((("гнев", 2_500), ("покой", 300)), TARGETS["state"], strict=True):
            for take in range(2):
                time = np.arange(int(random.uniform(0.3, 0.9) * 16_000)) / 16_000
                tone = 0.3 * np.sin(2 * np.pi * hz * random.uniform(0.9, 1.1) * time)
                name = f"{speaker}_{state}_{take}.wav"
                write_wav(folder / name, tone + random.normal(0, 0.02, len(time)))
                rows[name] = {"эмоция": emotion, "state": state, "speaker": speaker}
    (folder / "annotations.json").write_text(json.dumps(rows))
    return folder


def build_step(corpus: Path, run: Path, **changes: Any) -> TrainStep:
    """A step that trains the smallest network on ``corpus`` into ``run``."""
    step = {
        "type": "train",
        "name": "tiny",
        "model": "SpectrogramCnnClassifier",
        "model_architecture": {"backbone": "test_efficientnet", "dropout": 0.1},
        "learn_params": {
            "padding_sec": WINDOW / 16_000,
            "spectrogram_size": 32,
            "max_epoch": 6,
            "batch_size": 4,
            "lr": {"base_lr": 3e-3},
        },
        "saving_data_params": {"saved_checkpoints_path": [str(run)], "saved_checkpoints_filename": ["best"]},
        "dataset": {"path": str(corpus), "speaker": {"column": "speaker"}, "targets": list(TARGETS), "license": "CC0"},
        "accelerator": "cpu",
        **changes,
    }
    return TrainStep.model_validate(step)


@pytest.fixture(scope="session")
def trained_run(corpus: Path, build_once: BuildOnce) -> Path:
    """The run folder of a tiny model; not to be changed."""

    def build(folder: Path) -> Path:
        torch.set_num_threads(1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("EMOTIONS_CACHE", str(folder / "cache"))
            context = Context(folder, seed=0, workers=0, config={"seed": 0}, quiet=True)
            run = fit(build_step(corpus, folder / "run"), context)
        calibrated = read_json(run / RUN_FILE)
        # So few clips leave each temperature at 1, which would hide where one is forgotten.
        for temperature, found in zip((0.8, 1.3), calibrated["calibration"].values(), strict=True):
            found["temperature"] = temperature
        write_json(run / RUN_FILE, calibrated)
        return run

    return build_once("trained_run", build)


@pytest.fixture(scope="session")
def bundle(trained_run: Path, build_once: BuildOnce) -> Path:
    """The tiny model's bundle; not to be changed."""
    torch.set_num_threads(1)
    return build_once("exported", lambda folder: export_run(trained_run, folder / "tiny"))


@pytest.fixture(scope="session")
def full(trained_run: Path, build_once: BuildOnce) -> Path:
    """The tiny model's bundle in every form, with an embedding; not to be changed."""
    torch.set_num_threads(1)
    return build_once("every_form", lambda folder: export_run(trained_run, folder / "full", wanted=ALL))


@pytest.fixture
def exported_before(bundle: Path, trained_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The seconds of an export saved, where the test is not about the graph: the model's graph is there already.

    It has the run's temperatures in it, so every source has them.
    """
    heat = {target: found["temperature"] for target, found in load_run(trained_run).calibration.items()}
    monkeypatch.setattr(export, "to_onnx", lambda *_: onnx.load(bundle / "model.onnx"))
    monkeypatch.setattr(export, "temperatures", lambda _: heat)
