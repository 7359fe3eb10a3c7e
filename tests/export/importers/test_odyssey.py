"""Baselines of Odyssey 2024: equal to a forward pass written from their layout; all else is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional
from transformers import WavLMModel

from emotions.errors import ConfigError
from export.importers.importer import ImportOptions
from export.importers.named_encoders import named_encoder
from export.importers.registry import choose
from tests.export.huggingface.checkpoints import edit
from tests.export.importers.layouts import LABELS, assert_equals, linear, write_encoder
from tests.training.models.encoders import HIDDEN
from training.models.frontends.hub import Checkpoint

MEAN, DEVIATION = -8.3e-05, 0.085


def head_of(layers: int) -> dict[str, Tensor]:
    """Weights beside the encoder's, by the names of the layout."""
    weight, bias = linear(HIDDEN, HIDDEN, 1, 0.3)
    head = {"pool_model.sap_linear.weight": weight, "pool_model.sap_linear.bias": bias}
    head["pool_model.attention"] = linear(HIDDEN, 1, 2)[0].T.contiguous()
    for layer in range(layers):
        inputs = HIDDEN if layer else 2 * HIDDEN
        dense, dense_bias = linear(inputs, HIDDEN, 3 + layer, 0.3)
        norm, norm_bias = linear(1, HIDDEN, 13 + layer)
        head |= {f"ser_model.fc.{layer}.0.weight": dense, f"ser_model.fc.{layer}.0.bias": dense_bias}
        head |= {f"ser_model.fc.{layer}.1.weight": norm[:, 0].contiguous(), f"ser_model.fc.{layer}.1.bias": norm_bias}
    last, last_bias = linear(HIDDEN, len(LABELS), 9, 0.3)
    return {**head, "ser_model.out.0.weight": last, "ser_model.out.0.bias": last_bias}


def make(folder: Path, *, layers: int = 1, **changes: Any) -> Path:
    """Write a checkpoint; the encoder that it names is described in a folder beside it."""
    folder.mkdir(parents=True)
    described = folder.with_name(folder.name + "-encoder")
    described.mkdir()
    write_encoder(folder, "wavlm-layer", head_of(layers), "ssl_model.")
    for file in ("config.json", "preprocessor_config.json"):
        (folder / file).rename(described / file)
    edit(described / "config.json", architectures=["WavLMModel"])
    settings = {
        "architectures": ["SERModel"],
        "auto_map": {"AutoConfig": "own.SERConfig", "AutoModelForAudioClassification": "own.SERModel"},
        "classifier_dropout_prob": 0.5,
        "classifier_hidden_layers": layers,
        "hidden_size": HIDDEN,
        "id2label": dict(enumerate(LABELS)),
        "mean": MEAN,
        "model_type": "ser",
        "num_classes": len(LABELS),
        "ssl_type": str(described),
        "std": DEVIATION,
        **changes,
    }
    (folder / "config.json").write_text(json.dumps(settings))
    return folder


def in_old_names(folder: Path) -> None:
    """Name the parts of the weight norm as torch did when the baselines were published."""
    weights = load_file(folder / "model.safetensors")
    old = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    for name in [name for name in weights if "parametrizations" in name]:
        place, part = name.split(".conv.parametrizations")[0], "parametrizations" + name.split("parametrizations")[1]
        weights[f"{place}.conv.{old[part]}"] = weights.pop(name)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def answer(folder: Path, layers: int, clip: Tensor) -> Tensor:
    """The layout's forward pass for a clip alone: (samples,) -> (classes,) probabilities."""
    weights = load_file(folder / "model.safetensors")
    own = {name.removeprefix("ssl_model."): value for name, value in weights.items() if name.startswith("ssl_model.")}
    described = Path(json.loads((folder / "config.json").read_text())["ssl_type"])
    encoder = WavLMModel.from_pretrained(
        None, config=WavLMModel.config_class.from_pretrained(described), state_dict=own
    )
    state = encoder.eval()(((clip - MEAN) / (DEVIATION + 0.000001))[None]).last_hidden_state
    hidden = torch.tanh(
        functional.linear(state, weights["pool_model.sap_linear.weight"], weights["pool_model.sap_linear.bias"])
    )
    weight = functional.softmax(torch.matmul(hidden, weights["pool_model.attention"]), dim=1)
    mean = torch.sum(state * weight, dim=1)
    deviation = torch.sqrt((torch.sum((state**2) * weight, dim=1) - mean**2).clamp(min=1e-5))
    values = torch.cat((mean, deviation), 1)
    for layer in range(layers):
        name = f"ser_model.fc.{layer}"
        values = functional.linear(values, weights[f"{name}.0.weight"], weights[f"{name}.0.bias"])
        values = functional.layer_norm(values, [HIDDEN], weights[f"{name}.1.weight"], weights[f"{name}.1.bias"]).relu()
    values = functional.linear(values, weights["ser_model.out.0.weight"], weights["ser_model.out.0.bias"])
    return values.softmax(1)[0]


def load(folder: Path, **options: Any) -> Any:
    return choose(str(folder)).load(ImportOptions(**options))


@pytest.mark.slow
@pytest.mark.parametrize("layers", [1, 2])
def test_answers_are_those_of_the_layout(tmp_path: Path, layers: int) -> None:
    folder = make(tmp_path / "m", layers=layers)
    assert choose(str(folder)).importer.name == "odyssey"
    source = load(folder)
    assert source.targets == {"emotion": LABELS}
    assert_equals(source, lambda clip: answer(folder, layers, clip), tmp_path / "model.onnx")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make(tmp_path / "m")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"ser_model.out.0.bias": None}, r"lack ser_model\.out\.0\.bias"),
        ({"ssl_model.encoder.layer_norm.bias": None}, r"lack ssl_model\.encoder\.layer_norm\.bias"),
        ({"pool_model.third": torch.zeros(2)}, r"hold pool_model\.third, which the model has not"),
        ({"pool_model.attention": torch.zeros(1, HIDDEN)}, r"pool_model\.attention .* has the shape \[1, 32\]"),
        ({"pool_model.attention": torch.full((HIDDEN, 1), float("nan"))}, r"pool_model\.attention .* holds NaN"),
    ],
)
def test_weights_amiss_are_refused_by_name(folder: Path, change: dict[str, Any], match: str) -> None:
    weights = {**load_file(folder / "model.safetensors"), **change}
    kept = {name: value for name, value in weights.items() if value is not None}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=match):
        load(folder)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"std": 0.0}, "mean and std are no mean and deviation"),
        ({"std": None}, "it lacks std"),
        ({"mean": "x"}, "config.json is not understood"),
        ({"num_classes": 5}, "has 5 outputs, and 4 labels"),
        ({"classifier_hidden_layers": 0}, "at least 1"),
        ({"classifier_hidden_layers": 10**9}, "classifier_hidden_layers is beyond"),
        ({"sampling_rate": 8_000}, "is for 8000 Hz"),
        ({"ssl_type": 7}, "does not name its encoder"),
        ({"id2label": {"0": "arousal", "1": "dominance", "2": "valence"}}, "is a regression of arousal, dominance"),
    ],
)
def test_settings_amiss_are_refused(folder: Path, changes: dict[str, Any], match: str) -> None:
    edit(folder / "config.json", **changes)
    with pytest.raises(ConfigError, match=match):
        load(folder)


def test_an_encoder_that_is_not_here_is_named(folder: Path) -> None:
    edit(folder / "config.json", ssl_type=str(folder / "nowhere"))
    with pytest.raises(ConfigError, match=r"the encoder of .*: .*nowhere is no folder"):
        load(folder)


def test_the_names_of_older_releases_of_torch_are_known(folder: Path) -> None:
    clip, length = torch.randn(1, 16_000) / 10, torch.tensor([16_000])
    before = load(folder).classifier(clip, length)["emotion"]
    in_old_names(folder)
    torch.testing.assert_close(load(folder).classifier(clip, length)["emotion"], before)


def test_code_in_a_folder_is_never_run(folder: Path, tmp_path: Path) -> None:
    (folder / "own.py").write_text(f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\n")
    load(folder)
    assert not (tmp_path / "ran").exists()


def test_a_pickle_with_a_payload_is_never_run(folder: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    load(folder)
    torch.save({**weights, "pool_model.attention": Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"pytorch_model\.bin of .* cannot be read as weights"):
        load(folder)
    assert not (tmp_path / "ran").exists()


def test_the_encoder_of_the_published_baselines_is_known_without_a_network(tmp_path: Path) -> None:
    known = named_encoder("microsoft/wavlm-large", Checkpoint("--from", "m", tmp_path))
    assert (known.config.hidden_size, known.config.num_hidden_layers, known.normalize) == (1_024, 24, True)
    with torch.device("meta"):
        assert sum(value.numel() for value in known.build().parameters()) == pytest.approx(315_453_120, rel=1e-3)
