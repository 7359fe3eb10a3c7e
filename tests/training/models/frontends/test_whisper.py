"""The Whisper frontend: equal to transformers on each clip alone, cut to the clip, in any batch, exportable."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperModel
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from emotions.errors import ConfigError
from emotions.runtime.session import onnx_session
from tests.training.models.encoders import HIDDEN, WHISPER_LAYERS, make_whisper
from tests.training.models.exporting import to_onnx, traced
from training.models.frontends.encoders import RANDOM, load_encoder
from training.models.frontends.functionals_and_encoder import EncoderStatistics
from training.models.frontends.hidden_states import Embedding
from training.models.frontends.whisper import WhisperFrontend

WINDOW = 16_000
LENGTHS = [WINDOW, 160, 319, 320, 1_000, 5_433, 15_999]
EMBEDDINGS: list[Embedding] = ["conv", "projection", 0, 1, 2, [1, 2], "weighted"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_whisper(tmp_path_factory.mktemp("whisper"))


@pytest.fixture(scope="module")
def signals() -> tuple[Tensor, Tensor]:
    """Noise that is loudest at its end, with garbage past the length."""
    generator = torch.Generator().manual_seed(0)
    waveform = 0.1 * torch.randn(len(LENGTHS), WINDOW, generator=generator) + 0.02
    length = torch.tensor(LENGTHS)
    step = torch.arange(WINDOW)
    waveform = torch.where((step < length[:, None]) & (step >= length[:, None] - 60), 8 * waveform, waveform)
    garbage = 10 * torch.randn(waveform.shape, generator=generator)
    return torch.where(step < length[:, None], waveform, garbage), length


def build(folder: Path, embedding: Embedding, **options: Any) -> WhisperFrontend:
    return WhisperFrontend(load_encoder(str(folder)), WINDOW, embedding, **options)


def reference(folder: Path, clip: Tensor, *, normalize: bool = False) -> list[Tensor]:
    """States (dims, frames) of transformers for one clip, by an encoder with as many positions as the clip has."""
    frames = -(-len(clip) // 320)
    extractor = WhisperFeatureExtractor.from_pretrained(folder)
    heard = extractor(clip.numpy(), sampling_rate=16_000, do_normalize=normalize, return_tensors="pt").input_features
    encoder: WhisperEncoder = copy.deepcopy(WhisperModel.from_pretrained(folder).encoder).eval()
    encoder.config.max_source_positions = frames
    encoder.embed_positions = torch.nn.Embedding.from_pretrained(encoder.embed_positions.weight[:frames])
    with torch.no_grad():
        states = encoder(heard[:, :, : 2 * frames], output_hidden_states=True).hidden_states
    return [state[0].T for state in states]


@pytest.mark.parametrize("normalize", [False, True])
def test_features_equal_those_of_transformers_for_each_clip_alone(
    signals: tuple[Tensor, Tensor], normalize: bool, tmp_path: Path
) -> None:
    folder, (waveform, length) = make_whisper(tmp_path, normalize=normalize), signals
    outputs = {str(embedding): build(folder, embedding)(waveform, length) for embedding in EMBEDDINGS}
    for row, samples in enumerate(LENGTHS):
        states = reference(folder, waveform[row, :samples], normalize=normalize)
        expected = {"projection": states[0], "0": states[0], "1": states[1], "2": states[2]}
        expected |= {"[1, 2]": torch.cat(states[1:3]), "weighted": torch.stack([*states[:3]])}
        for embedding, wanted in expected.items():
            features, frames = outputs[embedding]
            count = wanted.shape[-1]
            assert int(frames[row]) == count
            found = features[row][:3] if embedding == "weighted" else features[row]
            scale = max(1.0, float(wanted.abs().max()))
            torch.testing.assert_close(found[..., :count], wanted, rtol=0, atol=1e-5 * scale)
            assert not features[row, ..., count:].any()


@pytest.mark.parametrize("embedding", EMBEDDINGS)
def test_a_window_has_the_same_features_alone_in_a_batch_and_without_what_stands_behind_it(
    folder: Path, signals: tuple[Tensor, Tensor], embedding: Embedding
) -> None:
    frontend, (waveform, length) = build(folder, embedding), signals
    together, frames = frontend(waveform, length)
    assert together.shape[1:] == frontend.shape
    for row, samples in enumerate(LENGTHS):
        alone, count = frontend(waveform[row : row + 1, :samples], length[row : row + 1])
        assert int(count) == int(frames[row])
        torch.testing.assert_close(together[row, ..., : int(count)], alone[0, ..., : int(count)], rtol=0, atol=1e-5)


def test_a_whole_model_gives_its_encoder_and_the_decoder_is_left_out(folder: Path, tmp_path: Path) -> None:
    whole = make_whisper(tmp_path, WhisperForConditionalGeneration)
    encoder = load_encoder(str(whole))
    assert not any("decoder" in name for name in encoder.model.state_dict())
    torch.manual_seed(0)
    found = WhisperForConditionalGeneration.from_pretrained(whole).model.encoder.state_dict()
    assert all(torch.equal(encoder.model.encoder.state_dict()[name], value) for name, value in found.items())


def test_random_weights_are_asked_for_by_name(folder: Path) -> None:
    assert build(Path(f"{RANDOM}{folder}"), 1).shape == (HIDDEN, 50)


def test_a_window_that_the_encoder_has_no_positions_for_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"padding_sec: at most 2 s, .*; found 2\.5 s"):
        WhisperFrontend(load_encoder(str(folder)), 40_000, 1)


@pytest.mark.parametrize("embedding", [WHISPER_LAYERS + 1, [1, WHISPER_LAYERS + 1], -1, "last", [True]])
def test_layers_that_the_encoder_lacks_are_refused(folder: Path, embedding: Any) -> None:
    with pytest.raises(ConfigError, match=r"embedding: .*this encoder has conv, projection, weighted or layers from 0"):
        build(folder, embedding)


def test_weights_that_are_missing_are_named(tmp_path: Path) -> None:
    folder = make_whisper(tmp_path)
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights["encoder.conv2.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConfigError, match=r"lack encoder\.conv2\.weight"):
        load_encoder(str(folder))


def test_fine_tuning_reaches_the_last_layers_alone(folder: Path) -> None:
    frontend = build(folder, 2, freeze=False, trainable_layers=1)
    trained = {name.split(".")[1] for name, value in frontend.named_parameters() if value.requires_grad}
    assert trained == {"1"}
    with pytest.raises(ConfigError, match="needs 2 transformer layers"):
        build(folder, 2, freeze=False, trainable_layers=3)


@pytest.mark.parametrize("pooling", ["mean", "mean_deviation"])
def test_statistics_are_those_of_the_valid_frames(folder: Path, signals: tuple[Tensor, Tensor], pooling: Any) -> None:
    statistics, (waveform, length) = EncoderStatistics(build(folder, [1, 2]), pooling), signals
    found, ones = statistics(waveform, length)
    assert found.shape == (len(LENGTHS), statistics.dims, 1)
    assert ones.tolist() == [1] * len(LENGTHS)
    states, frames = build(folder, [1, 2])(waveform, length)
    for row, count in enumerate(frames.tolist()):
        valid = states[row, :, :count]
        parts = [valid.mean(dim=1), (valid.var(dim=1, unbiased=False) + 1e-6).sqrt()]
        expected = torch.cat(parts if pooling == "mean_deviation" else parts[:1])
        torch.testing.assert_close(found[row, :, 0], expected, rtol=0, atol=1e-5)


def test_exported_graphs_give_the_same(folder: Path, signals: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    statistics, (waveform, length) = EncoderStatistics(build(folder, [1, 2]), "mean_deviation").eval(), signals
    expected = statistics(waveform, length)[0].detach()
    to_onnx(statistics, (waveform[:2], length[:2]), tmp_path / "model.onnx")
    session = onnx_session(tmp_path / "model.onnx", threads=1)
    found = session.run(None, {"waveform": waveform.numpy(), "length": length.numpy()})[0]
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-5)
    torch.testing.assert_close(traced(statistics, (waveform, length))(waveform, length)[0], expected)
