"""All model families on real recordings: both targets learnt, exported and run over the folder by one pipeline file."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Wav2Vec2Config, Wav2Vec2Model

from emotions.files.json_text import read_json, write_json
from tests.commands import finished
from tests.conftest import BuildOnce
from tests.training.models.encoders import save_extractor

SEED_CONFIG = Path(__file__).parents[1] / "training" / "seed_configs" / "train.Wav2Vec2FnClassifier.config.json"
CHANCE = {"emotion": 1 / 4, "state": 1 / 3}
MARGIN = 0.08
FAMILIES: dict[str, tuple[dict[str, Any], int]] = {
    "Wav2Vec2FnClassifier": ({"embedding": "conv"}, 4),
    "Wav2Vec2CnnClassifier": ({"backbone": "test_efficientnet"}, 10),
    "FunctionalsClassifier": ({}, 8),
    "TransformerClassifier": ({"patch_transformer_size": 8, "layer_1_size": 64, "layer_2_size": 128}, 10),
}
"""Architecture and epochs; ``SpectrogramCnnClassifier`` has its own journey."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2700)]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small encoder with random weights: random filters tell loud from soft and high from low, which will do."""
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    config = Wav2Vec2Config(
        **sizes, intermediate_size=64, conv_dim=[64] * 7, num_conv_pos_embedding_groups=4, initializer_range=0.1
    )
    Wav2Vec2Model(config).save_pretrained(folder)
    save_extractor(folder, normalize=True)
    return folder


def run(config: Path, cwd: Path, *options: str) -> str:
    done = finished("train", "--config-file", config, *options, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def steps(model: str, folder: Path, data: Path, encoder: Path) -> list[dict[str, Any]]:
    architecture, epochs = FAMILIES[model]
    own = {"encoder": str(encoder)} if model.startswith("Wav2Vec2") else {}
    train = {
        "type": "train",
        "model": model,
        "model_architecture": {**architecture, **own},
        "learn_params": {"padding_sec": 3, "spectrogram_size": 64, "max_epoch": epochs, "lr": {"base_lr": 0.002}},
        "saving_data_params": {"saved_checkpoints_path": [str(folder), model]},
        "dataset": {"path": str(data), "format": "annotations"},
    }
    export = {"type": "export", "output": str(folder / f"{model}.bundle")}
    predict = {"type": "predict", "inputs": str(data), "output": str(folder / f"{model}.csv")}
    return [train, export, predict]


@pytest.fixture(scope="module")
def trained(build_once: BuildOnce, emodb4: Path, encoder: Path) -> Path:
    def build(folder: Path) -> Path:
        every = [step for model in FAMILIES for step in steps(model, folder, emodb4, encoder)]
        write_json(folder / "pipeline.json", {"pipeline": every, "seed": 1})
        run(folder / "pipeline.json", folder)
        return folder

    return build_once("families", build)


@pytest.mark.parametrize("model", list(FAMILIES))
def test_both_targets_beat_chance_on_held_out_speakers(trained: Path, model: str) -> None:
    metrics = read_json(trained / model / "metrics.json")
    assert metrics["protocol"].startswith("speaker-disjoint hold-out (7 train / 1 validation / 2 test speakers)")
    for target, chance in CHANCE.items():
        assert metrics["test"][target]["clips"] > 50
        assert metrics["test"][target]["uar"] > chance + MARGIN, (model, target)


@pytest.mark.parametrize("model", list(FAMILIES))
def test_the_folder_is_labelled_for_both_targets(trained: Path, emodb4: Path, model: str) -> None:
    labels = read_json(trained / f"{model}.bundle" / "manifest.json")["targets"]
    with (trained / f"{model}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len([*emodb4.rglob("*.wav")])
    for target in CHANCE:
        assert {row[target] for row in rows} <= set(labels[target])
        assert len({row[target] for row in rows}) > 1


def test_the_seeds_train_file_runs(emodb4: Path, encoder: Path, tmp_path: Path) -> None:
    values = {
        "dataset": f'{{"path": "{emodb4}", "format": "annotations"}}',
        "model_architecture.encoder": str(encoder),
        "learn_params.max_epoch": "1",
    }
    options = [word for key, value in values.items() for word in ("--set", f"pipeline.0.{key}={value}")]
    printed = run(SEED_CONFIG, tmp_path, *options)
    (folder,) = (tmp_path / "weights" / "checkpoints" / "Wav2Vec2FnClassifier").iterdir()
    (checkpoint,) = folder.glob("classifier_*_*.ckpt")
    assert f"{folder.name}_" in checkpoint.name
    assert str(checkpoint.relative_to(tmp_path)) in printed
    assert any((tmp_path / "logs").iterdir())
    assert {*read_json(folder / "metrics.json")["test"]} == {"emotion", "state"}
