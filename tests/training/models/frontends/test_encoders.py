"""Loading encoders: what is accepted, and one clear line for everything else."""

from __future__ import annotations

import json
import logging
import pickle
import resource
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from emotions.errors import ConfigError
from tests.training.models.conftest import Checkpoint
from tests.training.models.encoders import BERT, KINDS, make_pretraining_checkpoint, save_extractor
from training.models.base import weights_hash
from training.models.frontends.encoders import RANDOM, blank_encoder, load_encoder


@pytest.fixture
def folder(checkpoint: Checkpoint, tmp_path: Path) -> Path:
    """A copy of a checkpoint, to be broken."""
    return Path(shutil.copytree(checkpoint("wav2vec2-group"), tmp_path / "encoder"))


def refused(name: Path | str, match: str) -> None:
    """The encoder is refused in one line that names the key."""
    with pytest.raises(ConfigError, match=match) as raised:
        load_encoder(str(name))
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith("model_architecture.encoder: ")


def edit(file: Path, **changes: Any) -> None:
    settings = json.loads(file.read_text())
    file.write_text(json.dumps({**settings, **changes}))


@pytest.mark.parametrize("kind", [*KINDS])
def test_a_folder_loads_in_evaluation_mode(checkpoint: Checkpoint, kind: str) -> None:
    encoder = load_encoder(str(checkpoint(kind)))
    assert type(encoder.model) is KINDS[kind][1]
    assert encoder.normalize is KINDS[kind][3]
    assert not any(module.training for module in encoder.model.modules())
    assert {parameter.dtype for parameter in encoder.model.parameters()} == {torch.float32}


def test_half_precision_is_widened(folder: Path) -> None:
    load_encoder(str(folder)).model.half().save_pretrained(folder)  # type: ignore[operator]
    assert {parameter.dtype for parameter in load_encoder(str(folder)).model.parameters()} == {torch.float32}


def test_a_pickled_pretraining_checkpoint_gives_its_encoder(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = make_pretraining_checkpoint(tmp_path)
    encoder: Any = load_encoder(str(folder)).model
    saved = torch.load(folder / "pytorch_model.bin", weights_only=True)
    key = "feature_projection.projection.weight"
    assert torch.equal(encoder.state_dict()[key], saved[f"wav2vec2.{key}"])
    assert not caplog.records  # the weights left over are none of the user's business
    assert capfd.readouterr() == ("", "")


def test_a_pickle_is_never_run(folder: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    (folder / "model.safetensors").unlink()
    torch.save({"weight": Evil()}, folder / "pytorch_model.bin")
    refused(folder, "weights of .* cannot be read")
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Evil(), protocol=2))
    refused(folder, "weights of .* cannot be read")
    assert not (tmp_path / "ran").exists()


def test_code_in_a_checkpoint_is_never_run(folder: Path, tmp_path: Path) -> None:
    code = f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\nclass Own: pass\n"
    (folder / "own.py").write_text(code)
    edit(folder / "config.json", auto_map={"AutoConfig": "own.Own", "AutoModel": "own.Own"})
    load_encoder(str(folder))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("broken", [b"", b"\0" * 64, None])
def test_broken_weights_are_refused(folder: Path, broken: bytes | None) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100] if broken is None else broken)
    refused(folder, "weights of .*encoder cannot be read")


def test_weights_of_another_shape_are_refused(folder: Path) -> None:
    edit(folder / "config.json", hidden_size=48)
    refused(folder, "weights of .*encoder cannot be read")


def test_incomplete_weights_are_refused(folder: Path) -> None:
    edit(folder / "config.json", num_hidden_layers=3)
    refused(folder, r"weights of .*encoder lack encoder\.layers\.2.* and \d+ more")


def test_a_folder_without_weights_is_refused_unless_random_ones_are_asked_for(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "model.safetensors").unlink()
    refused(folder, f"has no weights .*write {RANDOM}.*encoder")
    caplog.clear()
    for name in (folder, folder / "config.json"):
        encoder: Any = load_encoder(f"{RANDOM}{name}").model
        assert encoder.config.hidden_size == 32
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert "RANDOM weights" in caplog.text


def test_random_weights_follow_the_seed(folder: Path) -> None:
    hashes = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        hashes.append(weights_hash(load_encoder(f"{RANDOM}{folder}").model))
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "~/nowhere-at-all", "a/b/c"])
def test_a_folder_that_is_not_there_is_refused(name: str) -> None:
    refused(name, "is no folder; give a folder")


def test_a_name_that_cannot_be_reached_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    refused("someone/wav2vec2", r"neither a folder here nor reachable .*give a local folder.*HF_HUB_OFFLINE=1")
    refused("not a name", "neither a folder here nor reachable")


def test_other_models_are_refused(folder: Path) -> None:
    edit(folder / "config.json", model_type="bert")
    refused(folder, "is of model type bert; allowed are whisper, wav2vec2, hubert, wavlm")
    refused(f"{RANDOM}{folder}", "is of model type bert")
    with pytest.raises(ConfigError, match="must be one of whisper, wav2vec2"):
        blank_encoder({"normalize": True, "config": {"model_type": "bert"}})


def test_another_sampling_rate_is_refused(folder: Path) -> None:
    save_extractor(folder, normalize=True, rate=8_000)
    refused(folder, "is for 8000 Hz; only 16000 Hz is supported")


def test_without_a_preprocessor_config_nothing_is_assumed(folder: Path) -> None:
    (folder / "preprocessor_config.json").unlink()
    refused(folder, "has no preprocessor_config.json")


@pytest.mark.parametrize("text", ["", "{", "[]", '"text"'])
@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
def test_settings_that_are_not_json_objects_are_refused(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    refused(folder, name)


def test_a_config_that_makes_no_sense_is_refused(folder: Path) -> None:
    edit(folder / "config.json", num_attention_heads=5)
    refused(folder, "encoder")
    refused(f"{RANDOM}{folder}", r"config\.json: the description makes no model")


ABSURD: dict[str, dict[str, Any]] = {
    "layers": {"num_hidden_layers": 1_000_000},
    "width": {"hidden_size": 10**7, "num_attention_heads": 1},
    "product": {"hidden_size": 100_000, "intermediate_size": 1_000_000, "num_attention_heads": 1},
    "kernel": {"conv_kernel": [10**9] * 7},
    "labels": {"num_labels": 10**7},
    "endless": {"hidden_size": 10**400},
    "negative": {"hidden_size": -16},
    "infinite": {"layer_norm_eps": float("inf")},
    "many": {"conv_dim": [16] * 300_000},
}


@pytest.mark.parametrize("case", ABSURD)
def test_absurd_sizes_are_refused_before_anything_of_them_is_made(folder: Path, case: str) -> None:
    edit(folder / "config.json", **ABSURD[case])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(folder, r"config\.json")
    refused(f"{RANDOM}{folder}", r"config\.json")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


ABSURD_TOO: dict[str, tuple[str, dict[str, Any]]] = {
    "positions": ("data2vec-audio", {"conv_pos_kernel_size": 10**8}),
    "convolutions": ("data2vec-audio", {"num_conv_pos_embeddings": 10**6, "conv_pos_kernel_size": 10**6}),
    "clusters": ("unispeech-sat-group", {"hidden_size": 100_000, "intermediate_size": 10**6}),
    "banks": (BERT, {"feature_projection_input_dim": 10**6}),
    "depthwise": (BERT, {"conv_depthwise_kernel_size": 9_999_999, "hidden_size": 4_096}),
    "distances": (BERT, {"left_max_position_embeddings": 10**7, "hidden_size": 8_192}),
    "depth": (BERT, {"num_hidden_layers": 10**6}),
    "odd": (BERT, {"conv_depthwise_kernel_size": 4}),
}


@pytest.mark.parametrize("case", ABSURD_TOO)
def test_absurd_sizes_of_other_families_are_refused_as_well(checkpoint: Checkpoint, tmp_path: Path, case: str) -> None:
    kind, changes = ABSURD_TOO[case]
    folder = Path(shutil.copytree(checkpoint(kind), tmp_path / "encoder"))
    edit(folder / "config.json", **changes)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(folder, r"config\.json|takes .* values a frame")
    refused(f"{RANDOM}{folder}", r"config\.json")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def test_a_large_preprocessor_is_refused(folder: Path) -> None:
    edit(folder / "preprocessor_config.json", feature_size=10**9)
    refused(folder, "feature_size is beyond")


def test_a_description_holds_no_path(folder: Path) -> None:
    description = load_encoder(str(folder)).description()
    assert json.loads(json.dumps(description)) == description
    assert str(folder.parent) not in json.dumps(description)
