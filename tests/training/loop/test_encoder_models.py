"""Training on an encoder: its weights kept once beside the checkpoints, found again, never mixed up; fine-tuning."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from emotions.errors import CheckpointError, ConfigError
from emotions.pipeline.runner import Context
from tests.training.conftest import build_step
from tests.training.models.encoders import make_encoder, save_extractor
from training.loop.fit import fit
from training.run_folder.frozen_encoder import FILE
from training.run_folder.layout import CHECKPOINT_KEY
from training.run_folder.read import load_run, read_checkpoint

FN = {"conv_h_count": 1, "conv_w_count": 1, "layer_1_size": 8, "layer_2_size": 8}
CNN = {"backbone": "test_efficientnet"}

Fit = Callable[..., Path]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("encoders") / "tiny", "wav2vec2-group")


@pytest.fixture
def train(corpus_folder: Path, encoder: Path, context: Context) -> Fit:
    """``train(folder, model="Wav2Vec2FnClassifier", **changes)``: the run folder."""

    def run(folder: Path, model: str = "Wav2Vec2FnClassifier", **changes: Any) -> Path:
        own = FN if model == "Wav2Vec2FnClassifier" else CNN
        architecture = {**own, "encoder": str(encoder), **changes.pop("architecture", {})}
        return fit(build_step(corpus_folder, folder, model=model, model_architecture=architecture, **changes), context)

    return run


def last_of(run: Path) -> dict[str, Any]:
    return {"saving_data_params__start_from_saved_checkpoint_path": [str(run / "last.ckpt")]}


def weights(run: Path) -> dict[str, Any]:
    state: dict[str, Any] = read_checkpoint(run / "last.ckpt")["state_dict"]
    return state


@pytest.mark.parametrize("embedding", ["conv", "weighted", 1])
@pytest.mark.parametrize("model", ["Wav2Vec2FnClassifier", "Wav2Vec2CnnClassifier"])
def test_both_models_train_and_load_without_the_encoder(
    train: Fit, encoder: Path, tmp_path: Path, model: str, embedding: Any
) -> None:
    moved = shutil.copytree(encoder, tmp_path / "encoder")
    architecture = {"encoder": str(moved), "embedding": embedding}
    run = train(tmp_path / "run", model, architecture=architecture, learn_params__max_epoch=1)
    shutil.rmtree(moved)
    trained = load_run(run).trained
    kept = load_file(run / FILE)
    frontend = trained.model.frontend.state_dict()
    assert frontend.keys() == kept.keys()
    assert all(torch.equal(frontend[name], kept[name]) for name in kept)
    assert not any("frontend." in name for name in weights(run))
    assert json.loads((run / "model.json").read_text())["encoder"]["config"]["model_type"] == "wav2vec2"
    assert {*json.loads((run / "metrics.json").read_text())["test"]} == {"emotion", "state"}


def test_a_run_that_goes_on_ends_as_one_without_a_break(train: Fit, tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", learn_params__max_epoch=3)
    part = train(tmp_path / "part", learn_params__max_epoch=3, learn_params__scheduler="constant")
    half = train(tmp_path / "half", learn_params__max_epoch=2, learn_params__scheduler="constant")
    rest = train(tmp_path / "rest", learn_params__max_epoch=3, learn_params__scheduler="constant", **last_of(half))
    assert all(torch.equal(value, weights(part)[name]) for name, value in weights(rest).items())
    assert not all(torch.equal(value, weights(part)[name]) for name, value in weights(whole).items())


def test_cached_and_computed_features_give_the_same_metrics(train: Fit, tmp_path: Path) -> None:
    runs = [train(tmp_path / "cached"), train(tmp_path / "computed", learn_params__cache_features=False)]
    cached, computed = (json.loads((run / "metrics.json").read_text()) for run in runs)
    assert cached["test"] == computed["test"]
    # An encoder's last bits depend on the batch that it computes.
    assert cached["history"]["val/loss"] == pytest.approx(computed["history"]["val/loss"], abs=1e-3)


@pytest.mark.parametrize("layers", ["all", 1])
def test_fine_tuning_moves_the_encoder_and_keeps_it_in_the_checkpoint(
    train: Fit, encoder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, layers: int | str
) -> None:
    fine = {"embedding": "weighted", "freeze": False, "trainable_layers": layers}
    run = train(tmp_path / "run", architecture=fine, learn_params__lr={"base_lr": 3e-3, "encoder_lr": 1e-3})
    assert "the encoder trains" in caplog.text
    assert not (run / FILE).exists()
    before = load_file(encoder / "model.safetensors")
    after = load_run(run).trained.model.frontend.state_dict()

    def moved(ours: str, theirs: str) -> bool:
        return not torch.equal(after[ours], before[theirs])

    assert moved("context.layers.1.attention.q_proj.weight", "encoder.layers.1.attention.q_proj.weight")
    others = moved("context.layers.0.attention.q_proj.weight", "encoder.layers.0.attention.q_proj.weight")
    assert others == (layers == "all")


def test_random_weights_are_possible_and_loudly_warned_about(
    train: Fit, encoder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = train(tmp_path / "run", architecture={"encoder": f"random:{encoder}"})
    assert "RANDOM weights: it has learnt nothing" in caplog.text
    assert load_run(run).trained.steps > 0


@pytest.fixture(scope="module")
def finished(corpus_folder: Path, encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    changes: dict[str, Any] = {"model_architecture": {**FN, "encoder": str(encoder)}, "learn_params__max_epoch": 1}
    step = build_step(corpus_folder, folder / "run", model="Wav2Vec2FnClassifier", **changes)
    return fit(step, Context(folder, seed=0, workers=0, config={"pipeline": [{"type": "train"}]}, quiet=True))


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of a finished run, to be broken."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def test_a_checkpoint_without_its_encoder_is_refused(run: Path) -> None:
    (run / FILE).unlink()
    with pytest.raises(CheckpointError, match=r"needs encoder\.safetensors beside it"):
        load_run(run)


def test_a_damaged_encoder_is_refused(run: Path) -> None:
    content = (run / FILE).read_bytes()
    (run / FILE).write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=r"encoder\.safetensors: cannot be read, or is damaged"):
        load_run(run)


def test_an_encoder_of_another_run_is_refused(run: Path) -> None:
    save_file({name: value + 1 for name, value in load_file(run / FILE).items()}, run / FILE)
    with pytest.raises(CheckpointError, match="was trained with another encoder than the one"):
        load_run(run)


def test_an_encoder_of_another_width_is_refused(run: Path) -> None:
    save_file({name: value[..., :1].clone() for name, value in load_file(run / FILE).items()}, run / FILE)
    with pytest.raises(CheckpointError, match="its weights do not fit its model"):
        load_run(run)


def test_going_on_with_another_encoder_is_refused(train: Fit, encoder: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(encoder, tmp_path / "encoder")
    run = train(tmp_path / "run", architecture={"encoder": str(moved)}, learn_params__max_epoch=1)
    shutil.rmtree(moved)
    make_encoder(moved, "wav2vec2-group", seed=1)
    with pytest.raises(CheckpointError, match=r"was trained with another encoder than .* is now"):
        train(tmp_path / "more", architecture={"encoder": str(moved)}, **last_of(run))
    shutil.rmtree(moved)
    make_encoder(moved, "hubert-group")
    with pytest.raises(CheckpointError, match=r"was trained with another encoder than .* is now"):
        train(tmp_path / "more", architecture={"encoder": str(moved)}, **last_of(run))


def test_a_run_of_a_release_without_a_key_is_read_and_gone_on_from(train: Fit, run: Path, tmp_path: Path) -> None:
    stored = torch.load(run / "last.ckpt", weights_only=True)
    spec = json.loads(stored[CHECKPOINT_KEY]["spec"])
    assert spec["architecture"].pop("pooling") == "mean"
    stored[CHECKPOINT_KEY]["spec"] = json.dumps(spec)
    torch.save(stored, run / "last.ckpt")
    more = train(tmp_path / "more", learn_params__max_epoch=2, **last_of(run))
    assert load_run(more).trained.steps > load_run(run).trained.steps
    with pytest.raises(CheckpointError, match="is of another model: architecture is"):
        train(tmp_path / "other", architecture={"pooling": "mean_deviation"}, **last_of(run))


def test_going_on_with_another_embedding_is_refused(train: Fit, run: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is of another model: architecture is"):
        train(tmp_path / "more", architecture={"embedding": "conv"}, **last_of(run))


def test_an_encoder_of_another_rate_is_refused(train: Fit, encoder: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(encoder, tmp_path / "encoder")
    save_extractor(moved, normalize=True, rate=8_000)
    with pytest.raises(ConfigError, match="is for 8000 Hz; only 16000 Hz is supported"):
        train(tmp_path / "run", architecture={"encoder": str(moved)})


def test_an_encoder_that_cannot_be_reached_is_one_line(
    train: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match=r"give a local folder, or download it once and set HF_HUB_OFFLINE=1") as info:
        train(tmp_path / "run", architecture={"encoder": "someone/nothing"})
    assert "\n" not in str(info.value)
    assert not (tmp_path / "run").exists()
