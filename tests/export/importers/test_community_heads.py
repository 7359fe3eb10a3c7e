"""Pooled heads of the community: equal to a forward pass written from their layout; all else is refused by name."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from emotions.errors import ConfigError
from export.importers.importer import ImportOptions
from export.importers.registry import choose
from tests.conftest import BuildOnce
from tests.export.huggingface.checkpoints import edit
from tests.export.importers.layouts import LABELS, assert_equals, linear, normalised, write_encoder
from tests.training.models.encoders import HIDDEN, KINDS

NAMED = {"id2label": dict(enumerate(LABELS)), "label2id": {label: i for i, label in enumerate(LABELS)}}
KIND = {"out_proj": "wav2vec2-layer", "output": "wav2vec2-group", "hubert": "hubert-group"}


def head_of(output: str) -> dict[str, Tensor]:
    dense, dense_bias = linear(HIDDEN, HIDDEN, 1, 0.2)
    last, last_bias = linear(HIDDEN, len(LABELS), 2, 0.5)
    return {
        "classifier.dense.weight": dense,
        "classifier.dense.bias": dense_bias,
        f"classifier.{output}.weight": last,
        f"classifier.{output}.bias": last_bias,
    }


def make(folder: Path, layout: str, **settings: Any) -> Path:
    folder.mkdir(parents=True)
    output = "output" if layout == "output" else "out_proj"
    prefix = "hubert." if layout == "hubert" else "wav2vec2."
    write_encoder(folder, KIND[layout], head_of(output), prefix, **settings)
    return folder


def answer(folder: Path, layout: str, mode: str, clip: Tensor) -> Tensor:
    """The layout's forward pass for a clip alone: (samples,) -> (classes,) probabilities."""
    encoder = KINDS[KIND[layout]][1].from_pretrained(folder).eval()
    state = encoder(normalised(clip, KIND[layout])).last_hidden_state[0]
    pooled = {"mean": state.mean(0), "sum": state.sum(0), "max": state.amax(0)}[mode]
    weights = head_of("output" if layout == "output" else "out_proj")
    dense, dense_bias, last, last_bias = weights.values()
    return (last @ torch.tanh(dense @ pooled + dense_bias) + last_bias).softmax(0)


@pytest.fixture
def folder(build_once: BuildOnce, tmp_path: Path) -> Path:
    """A copy of a checkpoint, to be broken."""
    made = build_once("community", lambda folder: make(folder / "m", "out_proj", pooling_mode="mean", **NAMED))
    return Path(shutil.copytree(made, tmp_path / "copy"))


def load(folder: Path, **options: Any) -> Any:
    return choose(str(folder)).load(ImportOptions(**options))


@pytest.mark.slow
@pytest.mark.parametrize(("layout", "mode"), [("out_proj", "mean"), ("output", "max"), ("hubert", "sum")])
def test_answers_are_those_of_the_layout(tmp_path: Path, layout: str, mode: str) -> None:
    folder = make(tmp_path / "m", layout, pooling_mode=mode, **NAMED)
    assert choose(str(folder)).importer.name == "community"
    source = load(folder)
    assert source.targets == {"emotion": LABELS}
    assert_equals(source, lambda clip: answer(folder, layout, mode, clip), tmp_path / "model.onnx")


def test_chinese_hubert_classifiers_have_neither_labels_nor_a_pooling_mode(tmp_path: Path) -> None:
    folder = make(tmp_path / "m", "hubert", num_class=4, id2label=None, label2id=None)
    with pytest.raises(ConfigError, match="names no labels; it needs two or more in id2label, or name them"):
        load(folder)
    source = load(folder, labels=tuple(LABELS), target="mood")
    assert source.targets == {"mood": LABELS}
    clip = torch.randn(16_000) / 10
    with torch.inference_mode():
        found = source.classifier(clip[None], torch.tensor([16_000]))["mood"].softmax(1)[0]
        torch.testing.assert_close(found, answer(folder, "hubert", "mean", clip), rtol=0, atol=2e-5)


def test_labels_that_are_not_as_many_as_the_outputs_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"3 labels, the weights have 4 \(classifier\.out_proj\.\w+\)"):
        load(folder, labels=("a", "b", "c"))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"classifier.out_proj.bias": None}, r"lack classifier\.out_proj\.bias"),
        ({"wav2vec2.encoder.layer_norm.bias": None}, r"lack wav2vec2\.encoder\.layer_norm\.bias"),
        ({"classifier.third.weight": torch.zeros(2)}, r"hold classifier\.third\.weight, which the model has not"),
        ({"classifier.dense.weight": torch.zeros(8, HIDDEN)}, r"classifier\.dense\.weight .* has the shape \[8, 32\]"),
    ],
)
def test_weights_amiss_are_refused_by_name(folder: Path, change: dict[str, Any], match: str) -> None:
    weights = load_file(folder / "model.safetensors")
    for key, value in change.items():
        weights.pop(key, None)
        if value is not None:
            weights[key] = value
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=match):
        load(folder)


def test_another_pooling_is_refused(folder: Path) -> None:
    edit(folder / "config.json", pooling_mode="attention")
    with pytest.raises(ConfigError, match="has the pooling_mode 'attention'; allowed are mean, sum, max"):
        load(folder)


def test_an_adapter_is_refused(folder: Path) -> None:
    edit(folder / "config.json", add_adapter=True)
    with pytest.raises(ConfigError, match="has add_adapter"):
        load(folder)


@pytest.mark.parametrize(
    "changes",
    [{"problem_type": "regression"}, {"id2label": {"0": "arousal", "1": "dominance", "2": "valence"}}],
)
def test_a_regression_is_refused_in_a_line(folder: Path, changes: dict[str, Any]) -> None:
    edit(folder / "config.json", **changes)
    with pytest.raises(ConfigError, match=r"is a regression of .*; only classifiers become bundles so far"):
        load(folder)


def test_code_in_a_folder_is_never_run(folder: Path, tmp_path: Path) -> None:
    (folder / "own.py").write_text(f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\n")
    edit(folder / "config.json", auto_map={"AutoConfig": "own.Own", "AutoModel": "own.Own"})
    load(folder)
    assert not (tmp_path / "ran").exists()


def test_a_pickle_with_a_payload_is_never_run(folder: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    assert choose(str(folder)).importer.name == "community"
    torch.save({**weights, "classifier.dense.weight": Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"^--from: pytorch_model\.bin of .* cannot be read as weights"):
        load(folder)
    assert not (tmp_path / "ran").exists()


def test_broken_safetensors_are_named(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(ConfigError, match=r"^--from: model\.safetensors of .* cannot be read as weights"):
        load(folder)
