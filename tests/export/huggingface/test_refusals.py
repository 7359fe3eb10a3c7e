"""What cannot be exported: one line that says what is wrong, and nothing of the folder is ever run."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Wav2Vec2Config, Wav2Vec2ForCTC, Wav2Vec2ForPreTraining

from emotions.cli import run
from emotions.errors import ConfigError
from export.huggingface.classifiers import Loaded, load_classifier
from export.huggingface.source import load_huggingface
from tests.export.huggingface.checkpoints import LABELS, edit
from tests.export.huggingface.conftest import Checkpoint
from tests.training.models.encoders import TINY, save_extractor
from training.models.frontends.hub import Checkpoint as HubCheckpoint
from training.models.frontends.hub import quiet_transformers

WEIGHTS, PICKLED = "model.safetensors", "pytorch_model.bin"


@pytest.fixture
def folder(classifier: Checkpoint, tmp_path: Path) -> Path:
    """A copy of a classifier, to be broken."""
    return Path(shutil.copytree(classifier("wav2vec2-group"), tmp_path / "classifier"))


def copy_of(classifier: Checkpoint, name: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(classifier(name), tmp_path / name))


def loaded(folder: Path) -> Loaded:
    return load_classifier(HubCheckpoint("--from", str(folder), folder))


def refused(name: Path | str, match: str) -> None:
    """It is refused in one line that begins with the option."""
    with pytest.raises(ConfigError, match=match) as raised:
        load_huggingface(str(name))
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith("--from: ")


def change_weights(folder: Path, **changes: Any) -> None:
    """Rename weights (a string), take them out (None), or set them (a tensor); ``__`` stands for a dot."""
    weights = load_file(folder / WEIGHTS)
    for key, change in changes.items():
        value = weights.pop(key.replace("__", "."), None)
        if isinstance(change, str) and value is not None:
            weights[change] = value
        elif isinstance(change, torch.Tensor):
            weights[key.replace("__", ".")] = change
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


@pytest.mark.parametrize("model", [Wav2Vec2ForCTC, Wav2Vec2ForPreTraining])
def test_another_task_is_refused(tmp_path: Path, model: Any) -> None:
    config = {**TINY, "vocab_size": 12, "codevector_dim": 16, "proj_codevector_dim": 16}
    with quiet_transformers():
        model(Wav2Vec2Config(**config)).save_pretrained(tmp_path)
    save_extractor(tmp_path, normalize=True)
    refused(tmp_path, f"holds a {model.__name__}; only a Wav2Vec2ForSequenceClassification classifies")
    edit(tmp_path / "config.json", architectures=None, id2label={"0": "a", "1": "b"})
    refused(tmp_path, r"was never trained to classify: its weights lack classifier\.bias, classifier\.weight")


@pytest.mark.parametrize("kind", ["regression", "multi_label_classification"])
def test_another_kind_of_problem_is_refused(folder: Path, kind: str) -> None:
    edit(folder / "config.json", problem_type=kind)
    refused(folder, f"is for {kind}; only single_label_classification")


def test_another_model_type_is_refused(folder: Path) -> None:
    edit(folder / "config.json", model_type="bert")
    refused(folder, "is of model type bert; allowed are wav2vec2, hubert, wavlm, data2vec-audio, unispeech, ")


@pytest.mark.parametrize("name", ["wav2vec2-group", "short-ast", "short-whisper"])
def test_another_sampling_rate_is_refused(classifier: Checkpoint, tmp_path: Path, name: str) -> None:
    copy = copy_of(classifier, name, tmp_path)
    edit(copy / "preprocessor_config.json", sampling_rate=8_000)
    refused(copy, "is for 8000 Hz; only 16000 Hz is supported")


@pytest.mark.parametrize(
    ("name", "key", "value", "match"),
    [
        ("short-ast", "max_length", 200, "gives max_length 200, the model takes 100"),
        ("short-ast", "num_mel_bins", 32, "gives num_mel_bins 32, the model takes 64"),
        ("short-whisper", "feature_size", 128, "gives feature_size 128, the model takes 80"),
        ("short-whisper", "chunk_length", 30, "gives chunk_length in frames 3000, the model takes 200"),
        ("short-whisper", "dither", 0.1, r"gives dither 0\.1, the model takes 0\.0"),
    ],
)
def test_preprocessing_that_does_not_suit_the_model_is_refused(
    classifier: Checkpoint, tmp_path: Path, name: str, key: str, value: float, match: str
) -> None:
    copy = copy_of(classifier, name, tmp_path)
    edit(copy / "preprocessor_config.json", **{key: value})
    refused(copy, match)


def test_a_head_that_was_never_trained_is_refused_by_its_keys(folder: Path) -> None:
    renamed = {"classifier__weight": "classifier.dense.weight", "classifier__bias": "classifier.dense.bias"}
    change_weights(folder, **renamed)
    refused(
        folder,
        r"was never trained to classify: its weights lack classifier\.bias, classifier\.weight "
        r"\(and hold classifier\.dense\.bias, classifier\.dense\.weight, which the model has not\)",
    )


def test_missing_weights_are_refused(folder: Path) -> None:
    change_weights(folder, wav2vec2__encoder__layer_norm__bias=None)
    refused(folder, r"weights of .* lack wav2vec2\.encoder\.layer_norm\.bias$")


def test_unexpected_weights_are_refused(folder: Path) -> None:
    change_weights(folder, second_head__weight=torch.zeros(2))
    refused(folder, r"hold second_head\.weight, which the model has not")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(folder: Path, value: float) -> None:
    bias = load_file(folder / WEIGHTS)["projector.bias"]
    bias[3] = value
    change_weights(folder, projector__bias=bias)
    refused(folder, r"the weight projector\.bias of .* holds NaN or infinity")


@pytest.mark.parametrize("broken", [b"", b"\0" * 64, None])
def test_broken_weights_are_refused(folder: Path, broken: bytes | None) -> None:
    weights = folder / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-100] if broken is None else broken)
    refused(folder, "weights of .*classifier cannot be read")


def test_a_folder_without_weights_is_refused(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    refused(folder, "has no weights")


def test_pickled_weights_are_read_as_weights_only(folder: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    weights = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    torch.save(weights, folder / PICKLED)
    assert loaded(folder).labels == LABELS
    torch.save({**weights, "classifier.weight": Evil()}, folder / PICKLED)
    refused(folder, "weights of .* cannot be read")
    (folder / PICKLED).write_bytes(pickle.dumps(Evil(), protocol=2))
    refused(folder, "weights of .* cannot be read")
    assert not (tmp_path / "ran").exists()


def test_names_of_weight_norm_from_older_versions_are_understood(folder: Path) -> None:
    expected = loaded(folder).model.state_dict()
    prefix = "wav2vec2.encoder.pos_conv_embed.conv."
    old = {
        f"{prefix}parametrizations.weight.original{number}": f"{prefix}weight_{part}"
        for number, part in enumerate("gv")
    }
    change_weights(folder, **old)
    assert {*old.values()} <= {*load_file(folder / WEIGHTS)}
    found = loaded(folder).model.state_dict()
    assert all(torch.equal(found[key], value) for key, value in expected.items())


def test_code_in_a_folder_is_never_run(folder: Path, tmp_path: Path) -> None:
    (folder / "own.py").write_text(
        f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\nclass Own: pass\n"
    )
    code = dict.fromkeys(("AutoConfig", "AutoModelForAudioClassification", "AutoFeatureExtractor"), "own.Own")
    edit(folder / "config.json", auto_map=code)
    edit(folder / "preprocessor_config.json", auto_map=code)
    load_huggingface(str(folder))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        (None, "names no labels; it needs two or more in id2label"),
        ({"0": "only"}, "names no labels"),
        ({"0": "a", "1": "b", "3": "c", "4": "d"}, "must count 0, 1, 2, ...; it has 0, 1, 3, 4"),
        ({"0": "a", "1": "b", "2": "a", "3": "d"}, "has a label twice or an empty one"),
        ({"0": "a", "1": " ", "2": "c", "3": "d"}, "has a label twice or an empty one"),
        ({"0": "a", "1": "b", "2": "c"}, r"id2label names 3 labels, the weights have 4 \(classifier\.\w+\)"),
    ],
)
def test_labels_that_are_not_those_of_the_outputs_are_refused(
    folder: Path, labels: dict[str, str] | None, match: str
) -> None:
    edit(folder / "config.json", id2label=labels, label2id=None)
    refused(folder, match)


def test_labels_are_in_the_order_of_their_ids(folder: Path) -> None:
    edit(folder / "config.json", id2label={"2": "c", "0": "z", "3": "d", "1": "a"}, label2id=None)
    assert loaded(folder).labels == ["z", "a", "c", "d"]


def test_weights_of_another_shape_are_refused(folder: Path) -> None:
    edit(folder / "config.json", classifier_proj_size=8)
    refused(folder, r"the weight classifier\.weight of .* has the shape \[4, 16\], config\.json asks for \[4, 8\]")


def test_a_config_that_makes_no_sense_is_refused(folder: Path) -> None:
    edit(folder / "config.json", num_attention_heads=5)
    refused(folder, "classifier")


@pytest.mark.parametrize(
    "changes",
    [{"hidden_size": 10**7, "num_attention_heads": 1}, {"num_hidden_layers": 10**6}, {"conv_dim": [10**8] * 7}],
)
def test_absurd_sizes_are_refused(folder: Path, changes: dict[str, Any]) -> None:
    edit(folder / "config.json", **changes)
    refused(folder, r"config\.json")


@pytest.mark.parametrize("changes", [{"n_fft": 10**7}, {"feature_size": 10**6}, {"chunk_length": 10**9}])
def test_absurd_preprocessing_is_refused(classifier: Checkpoint, tmp_path: Path, changes: dict[str, Any]) -> None:
    folder = Path(shutil.copytree(classifier("short-whisper"), tmp_path / "m"))
    edit(folder / "preprocessor_config.json", **changes)
    refused(folder, next(iter(changes)))


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json"])
def test_a_folder_without_its_settings_is_refused(folder: Path, file: str) -> None:
    (folder / file).unlink()
    refused(folder, f"has no (readable )?{file}")


def test_an_encoder_that_needs_longer_clips_is_refused(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    key = "wav2vec2.feature_extractor.conv_layers.6.conv.weight"
    weights[key] = torch.randn(*weights[key].shape[:2], 4)
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    edit(folder / "config.json", conv_kernel=[10, 3, 3, 3, 3, 2, 4])
    refused(folder, "a clip of 400 samples is too short for one frame")


def test_a_name_that_cannot_be_reached_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert run(["export", "--hf", "someone/ser", "--output", str(tmp_path / "b")]) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: --from: someone/ser is neither a folder here nor reachable on the Hugging Face hub")
    assert line.endswith(
        "give a local folder, or download it once and set HF_HUB_OFFLINE=1 to use the copy in the cache\n"
    )
    assert not (tmp_path / "b").exists()


def test_a_name_in_the_cache_is_used_offline_and_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# A classifier\n")
    cache = tmp_path / "hub" / "models--someone--ser"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text("0" * 40)
    shutil.copytree(folder, cache / "snapshots" / ("0" * 40))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    source = load_huggingface("someone/ser")
    assert source.name == "ser"
    assert source.encoder is not None
    assert (source.encoder["name"], source.encoder["license"]) == ("someone/ser", "mit")
    assert str(tmp_path) not in json.dumps([source.encoder, source.description])


@pytest.mark.parametrize(
    "card", ["---\nlicense: [\n---\n", "no metadata", "---\nlicense:\n- a\n- b\n---\n", b"\xff\xfe"]
)
def test_a_card_without_a_licence_says_nothing(folder: Path, card: str | bytes) -> None:
    (folder / "README.md").write_bytes(card if isinstance(card, bytes) else card.encode())
    assert loaded(folder).licence is None


@pytest.mark.parametrize(
    ("file", "change", "match"),
    [
        (
            "config.json",
            {"position_embeddings_type": "rotary"},
            "position_embeddings_type is rotary; only relative_key",
        ),
        ("config.json", {"add_adapter": True}, "does not support the use of Wav2Vec2Bert adapters"),
        ("preprocessor_config.json", {"stride": 3}, "gives stride 3, the model takes 2"),
        ("preprocessor_config.json", {"num_mel_bins": 20}, "gives two times num_mel_bins 40, the model takes 32"),
    ],
)
def test_a_wav2vec2_bert_that_is_built_otherwise(
    classifier: Checkpoint, tmp_path: Path, file: str, change: dict[str, Any], match: str
) -> None:
    folder = copy_of(classifier, "bert", tmp_path)
    edit(folder / file, **change)
    if "rotary" in change.values():
        change_weights(
            folder,
            **{f"wav2vec2_bert__encoder__layers__{n}__self_attn__distance_embedding__weight": None for n in (0, 1)},
        )
    refused(folder, match)
