"""emotion2vec in the layout of FunASR: equal to FunASR itself, read without running anything, refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from emotions.errors import ConfigError
from export.graph.deployable import Deployable
from export.importers.emotion2vec.settings import convolutions_of
from export.importers.importer import ImportOptions
from export.importers.registry import choose
from tests.export.huggingface.checkpoints import make_clips
from tests.export.importers.emotion2vec_layout import TOKENS, answers_of_funasr, write_emotion2vec
from tests.export.importers.environments import made_environment
from tests.export.importers.layouts import assert_equals
from training.data.label_matching import match_labels

VARIANTS: dict[str, dict[str, Any]] = {
    "released": {},
    "group-norm": {
        "audio": {"extractor_mode": "default", "learned_alibi_scale_per_layer": True},
        "normalize": False,
    },
}


def load(folder: Path) -> Any:
    return choose(str(folder)).load(ImportOptions())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_emotion2vec(tmp_path / "m")


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_answers_are_those_of_funasr(tmp_path: Path, name: str) -> None:
    python = made_environment(tmp_path / "env", "funasr==1.4.16", "omegaconf", "antlr4-python3-runtime==4.9.3")
    folder = write_emotion2vec(tmp_path / "m", **VARIANTS[name])
    source = load(folder)
    waveform, length = make_clips([1_600, 192_000, 400, 40_000, 23_456], seed=3)
    clips = [row[:samples] / 4 for row, samples in zip(waveform, length.tolist(), strict=True)]
    labels, scores = answers_of_funasr(python, folder, clips, tmp_path)
    assert source.targets == {"emotion": labels}
    by_length = {len(clip): row for clip, row in zip(clips, scores, strict=True)}
    assert_equals(source, lambda clip: by_length[len(clip)], tmp_path / "model.onnx")


def test_a_clip_has_the_same_answer_alone_and_in_a_batch(folder: Path) -> None:
    source = load(folder)
    model = Deployable(source.classifier, ["emotion"])
    waveform, length = make_clips([1_600, 16_000, 400, 9_999])
    with torch.inference_mode():
        (together,) = model(waveform, length)
        for row, samples in enumerate(length.tolist()):
            (alone,) = model(waveform[row : row + 1, :samples], length[row : row + 1])
            torch.testing.assert_close(alone[0], together[row], rtol=0, atol=5e-5)


def test_labels_are_the_tokens_that_are_used_and_match_in_either_language(folder: Path) -> None:
    assert load(folder).targets == {"emotion": [token for token in TOKENS if not token.startswith("unuse")]}
    assert match_labels(TOKENS, ["anger", "happy", "neutral"]) == {
        "anger": "生气/angry",
        "happy": "开心/happy",
        "neutral": "中立/neutral",
    }


def change(folder: Path, **weights: Any) -> None:
    """Set weights, or take them out (None); ``__`` stands for a dot."""
    content = torch.load(folder / "model.pt", weights_only=True)["model"]
    for key, value in weights.items():
        content.pop(key.replace("__", "."), None)
        if value is not None:
            content[key.replace("__", ".")] = value
    torch.save({"model": content}, folder / "model.pt")


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        ({"proj__bias": None}, r"lack classifier\.bias"),
        ({"second__weight": torch.zeros(2)}, r"hold second\.weight, which the model has not"),
        ({"proj__bias": torch.zeros(3)}, r"the weight classifier\.bias of .* has the shape \[3\], not \[5\]"),
        ({"proj__bias": torch.full((5,), float("nan"))}, r"classifier\.bias of .* holds NaN"),
        ({"proj__weight": None}, r"an encoder alone, without the layer that names emotions"),
        ({"proj__bias": torch.zeros(1).expand(10**8)}, "claims .* numbers, more than it holds"),
        ({"proj__bias": "text"}, r"proj\.bias is no tensor"),
    ],
)
def test_weights_amiss_are_refused_by_name(folder: Path, weights: dict[str, Any], match: str) -> None:
    change(folder, **weights)
    with pytest.raises(ConfigError, match=match):
        load(folder)


def test_what_only_pre_training_uses_is_left_out(folder: Path) -> None:
    change(folder, modality_encoders__AUDIO__decoder__proj__weight=torch.zeros(2, 2))
    load(folder)


def test_a_pickle_with_a_payload_is_never_run(folder: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"model": {"proj.weight": Evil()}}, folder / "model.pt")
    with pytest.raises(ConfigError, match=r"model\.pt of .* cannot be read as weights"):
        load(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "spec", ["__import__('os').system('touch ran')", "[(16, 10, 5)] * 10**9", "[(16, 10)]", "[]", "[(0, 1, 1)]", "(("]
)
def test_a_specification_of_convolutions_is_never_run(spec: str) -> None:
    with pytest.raises(ValueError, match="feature_encoder_spec"):
        convolutions_of(spec)


def test_released_convolutions_are_understood() -> None:
    found = convolutions_of("[(512, 10, 5)] + [(512, 3, 2)] * 4 + [(512,2,2)] + [(512,2,2)]")
    assert found == ((512, 10, 5), *((512, 3, 2),) * 4, (512, 2, 2), (512, 2, 2))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"audio": {"learned_alibi": True}}, "learned_alibi: True, which is not supported"),
        ({"layer_norm_first": True}, "layer_norm_first: True, which is not supported"),
        ({"depth": 10**9}, "depth is beyond"),
    ],
)
def test_another_network_is_refused(folder: Path, changes: dict[str, Any], match: str) -> None:
    text = (folder / "config.yaml").read_text()
    audio = {**changes.pop("audio", {})}
    for key, value in {**audio, **changes}.items():
        lines = text.splitlines()
        at = next(number for number, line in enumerate(lines) if line.strip().startswith(f"{key}:"))
        lines[at] = f"{lines[at].partition(':')[0]}: {value}"
        text = "\n".join(lines)
    (folder / "config.yaml").write_text(text)
    with pytest.raises(ConfigError, match=match):
        load(folder)


def test_settings_are_data(folder: Path, tmp_path: Path) -> None:
    (folder / "config.yaml").write_text(f"model: !!python/object/apply:pathlib.Path.touch [{tmp_path / 'ran'}]\n")
    with pytest.raises(ConfigError, match=r"has no readable config\.yaml"):
        load(folder)
    assert not (tmp_path / "ran").exists()


def test_a_folder_without_tokens_is_refused(folder: Path) -> None:
    (folder / "tokens.txt").unlink()
    with pytest.raises(ConfigError, match=r"no readable tokens\.txt with its labels"):
        load(folder)
