"""Adapters of PEFT: merged they answer as PEFT does, and what is missing, extra or another kind is refused by name."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import Wav2Vec2ForSequenceClassification

from emotions.errors import ConfigError
from export.importers.importer import ImportOptions
from export.importers.registry import choose
from tests.export.huggingface.checkpoints import edit, make_clips
from tests.export.importers.environments import made_environment
from tests.export.importers.layouts import LABELS, LENGTHS, assert_equals, linear, normalised, write_encoder
from tests.training.models.encoders import HIDDEN

SETTINGS, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
RANK, ALPHA, PROJECTED = 4, 6, 12
TARGETS = ("q_proj", "v_proj")
NAME = "base_model.model.{}"
_SCRIPT = """
import json, sys
import numpy as np, torch
from peft import PeftModel
from transformers import AutoFeatureExtractor, Wav2Vec2ForSequenceClassification
folder, clips, out = sys.argv[1:]
base = json.load(open(folder + "/adapter_config.json"))["base_model_name_or_path"]
model = Wav2Vec2ForSequenceClassification.from_pretrained(base, num_labels=4, classifier_proj_size=12)
model = PeftModel.from_pretrained(model, folder).eval()
extractor = AutoFeatureExtractor.from_pretrained(base)
clips, answers = np.load(clips), []
with torch.no_grad():
    for name in sorted(clips.files):
        inputs = extractor(clips[name], sampling_rate=16_000, return_tensors="pt")
        answers.append(model(**inputs).logits.softmax(1)[0].tolist())
json.dump(answers, open(out, "w"))
"""


def make(folder: Path, **changes: Any) -> Path:
    """Write a base, an encoder without a head, and an adapter of it with the head, as PEFT saves it."""
    base = folder.with_name(folder.name + "-base")
    base.mkdir(parents=True)
    folder.mkdir()
    encoder = write_encoder(base, "wav2vec2-group", {}, "", architectures=["Wav2Vec2Model"])
    tensors: dict[str, Tensor] = {}
    for number, name in enumerate(layers(encoder)):
        layer = NAME.format(f"wav2vec2.{name}")
        tensors[f"{layer}.lora_A.weight"] = linear(HIDDEN, RANK, 2 * number, 0.2)[0]
        tensors[f"{layer}.lora_B.weight"] = linear(RANK, HIDDEN, 2 * number + 1, 0.2)[0]
        if changes.get("use_dora"):
            tensors[f"{layer}.lora_magnitude_vector"] = linear(1, HIDDEN, 50 + number, 0.2)[1].abs() + 0.5
    for name, sizes in (("projector", (HIDDEN, PROJECTED)), ("classifier", (PROJECTED, len(LABELS)))):
        weight, bias = linear(*sizes, 91, 0.3)
        tensors |= {NAME.format(f"{name}.weight"): weight, NAME.format(f"{name}.bias"): bias}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    settings = {
        "peft_type": "LORA",
        "task_type": None,
        "auto_mapping": {"base_model_class": "Wav2Vec2ForSequenceClassification", "parent_library": "own"},
        "base_model_name_or_path": str(base),
        "r": RANK,
        "lora_alpha": ALPHA,
        "lora_dropout": 0.1,
        "target_modules": [*TARGETS],
        "modules_to_save": ["projector", "classifier"],
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "use_rslora": False,
        "use_dora": False,
        "rank_pattern": {},
        "alpha_pattern": {},
        "revision": None,
        **changes,
    }
    (folder / SETTINGS).write_text(json.dumps(settings))
    return folder


def centre(folder: Path) -> Path:
    """Shift the last layer so that clips get different answers: its inputs of several clips are nearly the same."""
    kept: list[Tensor] = []
    source = load(folder)
    source.classifier.classifier.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
    waveform, length = make_clips([8_000] * 6, seed=1)
    with torch.inference_mode():
        source.classifier(waveform / 4, length)
    tensors = load_file(folder / WEIGHTS)
    last = tensors[NAME.format("classifier.weight")]
    tensors[NAME.format("classifier.bias")] = -last @ kept[0].mean(dim=0).clone()
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    return folder


def layers(encoder: Any) -> list[str]:
    """Names of the layers that are adapted."""
    return [name for name, _ in encoder.named_modules() if name.endswith(TARGETS)]


def answer(folder: Path, clip: Tensor) -> Tensor:
    """The forward pass of a clip alone with the adapter beside its base, as LoRA and DoRA define it: probabilities."""
    settings, tensors = json.loads((folder / SETTINGS).read_text()), load_file(folder / WEIGHTS)
    model = Wav2Vec2ForSequenceClassification.from_pretrained(
        settings["base_model_name_or_path"], num_labels=len(LABELS), classifier_proj_size=PROJECTED
    ).eval()
    scale = ALPHA / (RANK**0.5 if settings["use_rslora"] else RANK)
    for name in layers(model):
        down, up = (tensors[NAME.format(f"{name}.lora_{part}.weight")] for part in "AB")
        layer = model.get_submodule(name)
        if settings["use_dora"]:
            direction = layer.weight + scale * (up @ down)
            length = tensors[NAME.format(f"{name}.lora_magnitude_vector")]
            layer.weight = torch.nn.Parameter(length[:, None] * direction / direction.norm(dim=1, keepdim=True))
            continue
        add = lambda _, inputs, output, down=down, up=up: output + scale * (inputs[0] @ down.T @ up.T)  # noqa: E731
        layer.register_forward_hook(add)
    for name in ("projector", "classifier"):
        parts = {part: tensors[NAME.format(f"{name}.{part}")] for part in ("weight", "bias")}
        model.get_submodule(name).load_state_dict(parts)
    logits: Tensor = model(normalised(clip, "wav2vec2-group")).logits[0]
    return logits.softmax(0)


def load(folder: Path, **options: Any) -> Any:
    return choose(str(folder)).load(ImportOptions(**{"labels": tuple(LABELS), **options}))


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"use_rslora": True}, {"use_dora": True}])
def test_answers_are_those_of_the_base_with_the_adapter_beside_it(tmp_path: Path, changes: dict[str, Any]) -> None:
    folder = centre(make(tmp_path / "m", **changes))
    assert choose(str(folder)).importer.name == "adapter"
    source = load(folder)
    assert source.targets == {"emotion": LABELS}
    assert_equals(source, lambda clip: answer(folder, clip), tmp_path / "model.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("dora", [False, True])
def test_answers_are_those_of_peft(tmp_path: Path, dora: bool) -> None:
    python = made_environment(tmp_path / "env", "peft==0.21.2", "accelerate==1.12.0")
    folder = centre(make(tmp_path / "m", use_dora=dora))
    waveform, length = make_clips(LENGTHS, seed=3)
    clips = [row[:samples] / 4 for row, samples in zip(waveform, length.tolist(), strict=True)]
    np.savez(tmp_path / "clips.npz", **{f"{number:03d}": clip.numpy() for number, clip in enumerate(clips)})  # type: ignore[arg-type]
    command = [str(python), "-c", _SCRIPT, str(folder), str(tmp_path / "clips.npz"), str(tmp_path / "answers.json")]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    scores = torch.tensor(json.loads((tmp_path / "answers.json").read_text()))
    by_length = {len(clip): row for clip, row in zip(clips, scores, strict=True)}
    assert_equals(load(folder), lambda clip: by_length[len(clip)], tmp_path / "model.onnx")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make(tmp_path / "m")


Q_PROJ = "wav2vec2.encoder.layers.1.attention.q_proj"


@pytest.mark.parametrize(
    ("names", "value", "match"),
    [
        ([f"{Q_PROJ}.lora_B.weight"], None, rf"lack {Q_PROJ}\.lora_B\.weight"),
        ([f"{Q_PROJ}.lora_A.weight", f"{Q_PROJ}.lora_B.weight"], None, rf"lack {Q_PROJ}\.lora_A\.weight"),
        (
            ["wav2vec2.third.lora_A.weight"],
            torch.zeros(RANK, HIDDEN),
            r"for wav2vec2\.third, which its base has not",
        ),
        ([f"{Q_PROJ}.lora_B.weight"], torch.zeros(7, RANK), r"shapes \[4, 32\] and \[7, 4\] for .*q_proj\.weight of"),
        (["third.weight"], torch.zeros(2), r"hold third\.weight, which the model has not"),
        (["classifier.weight"], torch.zeros(4, 5), r"the weight classifier\.weight .* has the shape \[4, 5\]"),
        (["classifier.weight"], None, r"was never trained to classify: its weights lack classifier\.weight"),
    ],
)
def test_weights_amiss_are_refused_by_name(folder: Path, names: list[str], value: Any, match: str) -> None:
    weights = {**load_file(folder / WEIGHTS), **dict.fromkeys(map(NAME.format, names), value)}
    kept = {name: each for name, each in weights.items() if each is not None}
    save_file(kept, folder / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=match):
        load(folder)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"peft_type": "IA3"}, "has peft_type: IA3, which is not supported"),
        ({"use_dora": True}, r"weights of .* lack wav2vec2\..*\.lora_magnitude_vector"),
        ({"use_dora": "yes"}, "has use_dora: yes, which is not supported"),
        ({"bias": "all"}, "has bias: all, which is not supported"),
        ({"alpha_pattern": {"q_proj": 9}}, "has alpha_pattern: .*, which is not supported"),
        ({"layers_to_transform": [0]}, "has layers_to_transform: .*, which is not supported"),
        ({"r": 5}, r"has rank 4, adapter_config\.json says 5"),
        ({"r": 0}, "has no r and lora_alpha above 0"),
        ({"lora_alpha": None}, "has no r and lora_alpha above 0"),
        ({"base_model_name_or_path": None}, "names no base_model_name_or_path"),
        ({"base_model_name_or_path": "./nowhere"}, r"the base of .*: \./nowhere is no folder"),
        ({"revision": "0" * 40}, "is for the revision 0+ of"),
    ],
)
def test_settings_amiss_are_refused(folder: Path, changes: dict[str, Any], match: str) -> None:
    settings = {**json.loads((folder / SETTINGS).read_text()), **changes}
    (folder / SETTINGS).write_text(json.dumps(settings))
    with pytest.raises(ConfigError, match=match):
        load(folder)


@pytest.mark.parametrize("end", ["", ".weight"])
def test_magnitudes_are_read_by_either_name_and_have_to_fit(tmp_path: Path, end: str) -> None:
    folder = make(tmp_path / "m", use_dora=True)
    tensors = {
        name + end if name.endswith("magnitude_vector") else name: value
        for name, value in load_file(folder / WEIGHTS).items()
    }
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    assert load(folder).encoder["adapter"] == "dora"
    name = NAME.format(f"{Q_PROJ}.lora_magnitude_vector{end}")
    save_file({**tensors, name: tensors[name][1:]}, folder / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(ConfigError, match=r"magnitudes of shape \[31\] for .*q_proj\.weight of \[32, 32\]"):
        load(folder)


def test_magnitudes_without_the_setting_are_refused(tmp_path: Path) -> None:
    folder = make(tmp_path / "m", use_dora=True)
    edit(folder / SETTINGS, use_dora=False)
    with pytest.raises(ConfigError, match=r"lora_magnitude_vector.*, which the model has not"):
        load(folder)


def test_labels_of_the_adapters_own_configuration_are_taken(folder: Path) -> None:
    (folder / "config.json").write_text(
        json.dumps({"id2label": dict(enumerate("abcd")), "auto_map": {"AutoModel": "x.X"}})
    )
    assert load(folder, labels=()).targets == {"emotion": ["a", "b", "c", "d"]}


def test_without_labels_it_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"names no labels|id2label names 2 labels, the weights have 4"):
        load(folder, labels=())


def test_the_licence_is_the_adapters_or_else_that_of_its_base(folder: Path) -> None:
    base = Path(json.loads((folder / SETTINGS).read_text())["base_model_name_or_path"])
    (base / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    assert load(folder).encoder["license"] == "cc-by-nc-4.0"
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    assert load(folder).encoder["license"] == "mit"


def test_code_in_either_folder_is_never_run(folder: Path, tmp_path: Path) -> None:
    base = Path(json.loads((folder / SETTINGS).read_text())["base_model_name_or_path"])
    for place in (folder, base):
        (place / "own.py").write_text(f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\n")
    edit(base / "config.json", auto_map={"AutoConfig": "own.Own", "AutoModel": "own.Own"})
    load(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("place", ["adapter_model.bin", "../m-base/pytorch_model.bin"])
def test_a_pickle_with_a_payload_is_never_run(folder: Path, tmp_path: Path, place: str) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    path = folder / place
    for file in path.parent.glob("*.safetensors"):
        torch.save(load_file(file), path)
        file.unlink()
    load(folder)
    torch.save({**torch.load(path, weights_only=True), "x": Evil()}, path)
    with pytest.raises(ConfigError, match=rf"{path.name} of .* cannot be read as weights"):
        load(folder)
    assert not (tmp_path / "ran").exists()
