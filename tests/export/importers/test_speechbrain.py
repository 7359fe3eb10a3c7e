"""SpeechBrain's emotion recipe: equal to SpeechBrain itself, read without running anything, refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from transformers import Wav2Vec2Model

from emotions.errors import ConfigError
from export.importers.importer import ImportOptions
from export.importers.registry import choose
from tests.export.huggingface.checkpoints import make_clips
from tests.export.importers.environments import made_environment
from tests.export.importers.layouts import LABELS, LENGTHS, assert_equals
from tests.export.importers.speechbrain_layout import answers_of_speechbrain, write_speechbrain
from tests.training.models.encoders import KINDS

VARIANTS: dict[str, dict[str, Any]] = {
    "published": {"kind": "wav2vec2-group"},
    "hubert": {"kind": "hubert-group", "norm": False, "bias": True},
}


def load(folder: Path) -> Any:
    return choose(str(folder)).load(ImportOptions())


def answer(folder: Path, variant: dict[str, Any], clip: Tensor) -> Tensor:
    """The layout's forward pass for a clip alone: (samples,) -> (classes,) probabilities."""
    _, model, _, normalize = KINDS[variant["kind"]]
    encoder: Wav2Vec2Model = model.from_pretrained(folder.with_name(folder.name + "-encoder")).eval()
    clip = functional.layer_norm(clip, clip.shape) if normalize else clip
    state = encoder(clip[None]).last_hidden_state[0]
    state = functional.layer_norm(state, state.shape) if variant.get("norm", True) else state
    last = torch.load(folder / "model.ckpt", weights_only=True)
    logits: Tensor = last["0.w.weight"] @ state.mean(0) + last.get("0.w.bias", torch.zeros(()))
    return logits.softmax(0)


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_answers_are_those_of_the_layout(tmp_path: Path, name: str) -> None:
    folder = write_speechbrain(tmp_path / "m", **VARIANTS[name])
    choice = choose(str(folder))
    assert choice.importer.name == "speechbrain"
    source = load(folder)
    assert source.targets == {"emotion": LABELS}
    assert_equals(source, lambda clip: answer(folder, VARIANTS[name], clip), tmp_path / "model.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_answers_are_those_of_speechbrain(tmp_path: Path, name: str) -> None:
    needed = ("speechbrain==1.1.2", "hyperpyyaml", "ruamel.yaml==0.18.17", "joblib", "sentencepiece")
    python = made_environment(tmp_path / "env", *needed)
    folder = write_speechbrain(tmp_path / "m", **VARIANTS[name])
    source = load(folder)
    waveform, length = make_clips(LENGTHS, seed=3)
    clips = [row[:samples] / 4 for row, samples in zip(waveform, length.tolist(), strict=True)]
    labels, scores = answers_of_speechbrain(python, folder, clips, tmp_path)
    assert source.targets == {"emotion": labels}
    by_length = {len(clip): row for clip, row in zip(clips, scores, strict=True)}
    assert_equals(source, lambda clip: by_length[len(clip)], tmp_path / "model.onnx")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_speechbrain(tmp_path / "m")


def change(path: Path, name: str, value: Tensor | None) -> None:
    """Set a weight of a file, or take it out."""
    weights = {**torch.load(path, weights_only=True), name: value}
    torch.save({key: each for key, each in weights.items() if each is not None}, path)


@pytest.mark.parametrize(
    ("file", "name", "value", "match"),
    [
        ("model.ckpt", "0.w.weight", None, r"lack output\.weight"),
        ("model.ckpt", "0.w.bias", torch.zeros(4), r"hold output\.bias, which the model has not"),
        ("model.ckpt", "0.w.weight", torch.zeros(4, 9), r"output\.weight of .* has the shape \[4, 9\], not \[4, 32\]"),
        ("wav2vec2.ckpt", "model.encoder.layer_norm.bias", None, r"lack wav2vec2\.encoder\.layer_norm\.bias"),
        ("wav2vec2.ckpt", "model.third", torch.zeros(2), r"hold wav2vec2\.third, which the model has not"),
    ],
)
def test_weights_amiss_are_refused_by_name(folder: Path, file: str, name: str, value: Any, match: str) -> None:
    change(folder / file, name, value)
    with pytest.raises(ConfigError, match=match):
        load(folder)


@pytest.mark.parametrize(
    ("before", "after", "match"),
    [
        ("return_std: False", "return_std: True", "pools by more than the mean"),
        ("freeze: True", "output_all_hiddens: True", "has output_all_hiddens: True, which is not supported"),
        ("out_n_neurons: 4", "out_n_neurons: 5", "has 5 outputs, and label_encoder.txt names 4 labels"),
        ("out_n_neurons: 4", "out_n_neurons: many", "does not say how many outputs"),
        ("source: !ref <wav2vec2_hub>", "source: !ref <nothing>", "does not name its encoder"),
        ("nnet.pooling.Stat", "nnet.other.Stat", r"speechbrain: hyperparams\.yaml has no avg_pool of the emotion rec"),
    ],
)
def test_another_network_is_refused(folder: Path, before: str, after: str, match: str) -> None:
    path = folder / "hyperparams.yaml"
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))
    with pytest.raises(ConfigError, match=match):
        load(folder)


@pytest.mark.parametrize("text", ["", "'a' => 0\n", "'a' => 0\n'a' => 1\n", "'a' => 0\n'b' => 2\n", "a\nb\nc\nd\n"])
def test_labels_that_are_no_labels_are_refused(folder: Path, text: str) -> None:
    (folder / "label_encoder.txt").write_text(text)
    with pytest.raises(ConfigError, match=r"label_encoder\.txt"):
        load(folder)


@pytest.mark.parametrize(
    "line",
    [
        "extra: !new:pathlib.Path.touch ['RAN']",
        "extra: !apply:pathlib.Path.touch [!new:pathlib.Path ['RAN']]",
        "__set_seed: !apply:os.system ['touch RAN']",
        "extra: !name:os.system ['touch RAN']",
        "extra: !module:antigravity",
        "extra: !include:RAN",
    ],
)
def test_constructors_of_hyperparams_are_never_called(folder: Path, tmp_path: Path, line: str) -> None:
    with (folder / "hyperparams.yaml").open("a") as stream:
        stream.write(line.replace("RAN", str(tmp_path / "ran")) + "\n")
    load(folder)
    assert not (tmp_path / "ran").exists()


def test_a_python_tag_is_refused(folder: Path, tmp_path: Path) -> None:
    with (folder / "hyperparams.yaml").open("a") as stream:
        stream.write(f"extra: !!python/object/apply:pathlib.Path.touch [{tmp_path / 'ran'}]\n")
    with pytest.raises(ConfigError, match=r"no readable hyperparams\.yaml"):
        load(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("file", ["model.ckpt", "wav2vec2.ckpt"])
def test_a_pickle_with_a_payload_is_never_run(folder: Path, tmp_path: Path, file: str) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"0.w.weight": Evil()}, folder / file)
    with pytest.raises(ConfigError, match=rf"{file} of .* cannot be read as weights"):
        load(folder)
    assert not (tmp_path / "ran").exists()
