"""The Wav2Vec2-BERT frontend: equal to transformers, filter banks included, alone and in any batch, exportable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2BertModel

from emotions.audio.synthetic_speech import synthetic_speech
from emotions.errors import ConfigError
from emotions.runtime.session import onnx_session
from tests.training.models.conftest import Checkpoint
from tests.training.models.encoders import BANDS, BERT, HIDDEN, LAYERS, make_bert
from tests.training.models.exporting import to_onnx, traced
from training.config.architectures import RANDOM
from training.models.frontends.encoders import blank_encoder, load_encoder
from training.models.frontends.functionals_and_encoder import EncoderStatistics
from training.models.frontends.hidden_states import Embedding
from training.models.frontends.kaldi import StackedFilterbank, count_frames
from training.models.frontends.wav2vec2_bert import Wav2Vec2BertFrontend

WINDOW = 16_000
LENGTHS = [WINDOW, 560, 879, 880, 1_040, 5_433, 15_999]
EMBEDDINGS: list[Embedding] = ["projection", 0, 1, LAYERS, [1, 2], "weighted"]
# Sums of 400 products in fp32, where the extractor has fp64, leave 1e-5 of the largest value; the deviation that bands
# are divided by makes more of it where they hardly change, as over the two spectra of the shortest clip.
BANKS, CLOSE = 2e-4, 1e-5


@pytest.fixture(scope="module")
def folder(checkpoint: Checkpoint) -> Path:
    return checkpoint(BERT)


@pytest.fixture(scope="module")
def signals() -> tuple[Tensor, Tensor]:
    """Voices off centre, with garbage past the length."""
    generator, random = torch.Generator().manual_seed(0), np.random.default_rng(0)
    voices = [synthetic_speech(WINDOW, random) for _ in LENGTHS]
    waveform = torch.from_numpy(np.stack(voices)) + 0.02
    length = torch.tensor(LENGTHS)
    garbage = 10 * torch.randn(waveform.shape, generator=generator)
    return torch.where(torch.arange(WINDOW) < length[:, None], waveform, garbage), length


def build(folder: Path, embedding: Embedding, **options: Any) -> Wav2Vec2BertFrontend:
    return Wav2Vec2BertFrontend(load_encoder(str(folder)), WINDOW, embedding, **options)


def reference(folder: Path, clips: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Every state of transformers for a padded batch with its mask, (batch, layers, dims, frames), and the mask."""
    extractor: Any = SeamlessM4TFeatureExtractor.from_pretrained(folder)
    given = extractor([clip.numpy() for clip in clips], sampling_rate=16_000, return_tensors="pt")
    encoder = Wav2Vec2BertModel.from_pretrained(folder).eval()
    with torch.no_grad():
        states = encoder(**given, output_hidden_states=True).hidden_states
    return torch.stack([state.transpose(1, 2) for state in states], dim=1), given.attention_mask


@pytest.mark.parametrize("bands", [16, 80])
def test_filter_banks_equal_those_of_the_feature_extractor(signals: tuple[Tensor, Tensor], bands: int) -> None:
    waveform, length = signals
    found, frames = StackedFilterbank(bands)(waveform, length)
    extractor: Any = SeamlessM4TFeatureExtractor(feature_size=bands, num_mel_bins=bands)
    for row, samples in enumerate(LENGTHS):
        given = extractor(waveform[row, :samples].numpy(), sampling_rate=16_000, return_tensors="pt")
        count = int(given.attention_mask.sum())
        assert int(frames[row]) == count == count_frames(samples)
        expected = given.input_features[0, :count]
        scale = float(expected.abs().max())
        torch.testing.assert_close(found[row, :count], expected, rtol=0, atol=BANKS * scale)


@pytest.mark.parametrize("together", [False, True])
def test_features_equal_those_of_transformers_alone_and_in_a_padded_batch(
    folder: Path, signals: tuple[Tensor, Tensor], together: bool
) -> None:
    waveform, length = signals
    clips = [row[:samples] for row, samples in zip(waveform, LENGTHS, strict=True)]
    outputs = {str(embedding): build(folder, embedding)(waveform, length) for embedding in EMBEDDINGS}
    whole = reference(folder, clips) if together else None
    for row, clip in enumerate(clips):
        states, mask = (each[row : row + 1] for each in whole) if whole else reference(folder, [clip])
        count = int(mask.sum())
        states = states[0, ..., :count]
        expected = {"projection": states[0], "0": states[0], "1": states[1], "2": states[2]}
        expected |= {"[1, 2]": torch.cat([*states[1:3]]), "weighted": states[: LAYERS + 1]}
        for embedding, wanted in expected.items():
            features, frames = outputs[embedding]
            assert int(frames[row]) == count
            scale = max(1.0, float(wanted.abs().max()))
            torch.testing.assert_close(features[row, ..., :count], wanted, rtol=0, atol=CLOSE * scale)
            assert not features[row, ..., count:].any()


@pytest.mark.parametrize("embedding", ["projection", "weighted"])
def test_a_window_depends_neither_on_its_batch_nor_on_what_lies_past_it(
    folder: Path, signals: tuple[Tensor, Tensor], embedding: Embedding
) -> None:
    frontend, (waveform, length) = build(folder, embedding), signals
    features, frames = frontend(waveform, length)
    assert features.shape[1:] == frontend.shape
    past = torch.arange(WINDOW) >= length[:, None]
    assert torch.equal(frontend(torch.where(past, torch.nan, waveform), length)[0], features)
    for row, samples in enumerate(LENGTHS):
        alone, count = frontend(waveform[row : row + 1, :samples], length[row : row + 1])
        assert int(count) == int(frames[row])
        found, expected = features[row, ..., : int(count)], alone[0, ..., : int(count)]
        scale = max(1.0, float(expected.abs().max()))
        # Kernels sum in another order for other shapes, which clips of two or three spectra make more of, as above.
        close = CLOSE if samples > WINDOW // 4 else BANKS
        torch.testing.assert_close(found, expected, rtol=0, atol=close * scale)


def test_silence_constants_and_windows_without_a_frame_stay_finite(folder: Path) -> None:
    waveform = torch.zeros(4, WINDOW)
    waveform[1] = 0.3
    features, frames = build(folder, "weighted")(waveform, torch.tensor([WINDOW, WINDOW, 559, 0]))
    assert frames.tolist() == [49, 49, 0, 0]
    assert bool(features.isfinite().all())
    assert not features[2:].any()
    torch.testing.assert_close(features[1], features[0])


def test_an_unfrozen_encoder_gets_a_gradient_in_every_weight(folder: Path, signals: tuple[Tensor, Tensor]) -> None:
    frontend = build(folder, LAYERS, freeze=False)
    features, _ = frontend(*signals)
    (features * torch.randn(features.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
    gradients = {name: parameter.grad for name, parameter in frontend.named_parameters()}
    without = [name for name, gradient in gradients.items() if gradient is None or not gradient.any()]
    assert not [name for name in without if not name.endswith("linear_k.bias")]  # softmax does not see it
    assert all(gradient is None or bool(gradient.isfinite().all()) for gradient in gradients.values())


def test_a_frozen_encoder_has_no_gradient_and_the_last_layers_may_train_alone(folder: Path) -> None:
    assert not any(parameter.requires_grad for parameter in build(folder, 1).parameters())
    part = build(folder, LAYERS, freeze=False, trainable_layers=1)
    names = {name.split(".layers.")[1][0] for name, each in part.named_parameters() if each.requires_grad}
    assert names == {"1"}
    assert not any(module.training for module in part.train().modules())


def test_weights_survive_in_a_state_dict_without_the_checkpoint(folder: Path, signals: tuple[Tensor, Tensor]) -> None:
    frontend = build(folder, LAYERS)
    again = Wav2Vec2BertFrontend(blank_encoder(frontend.description), WINDOW, LAYERS)
    again.load_state_dict(frontend.state_dict(), strict=True)
    assert again.settings() == frontend.settings()
    assert torch.equal(again(*signals)[0], frontend(*signals)[0])
    assert build(folder, 1).settings() != frontend.settings()


def test_random_weights_are_asked_for_by_name(folder: Path) -> None:
    assert build(Path(f"{RANDOM}{folder}"), 1).shape == (HIDDEN, 49)


@pytest.mark.parametrize(
    ("embedding", "match"),
    [
        ("conv", r"'conv'; this encoder has no convolutional features, but .* layers from 0 to 2"),
        (LAYERS + 1, r"layers from 0 to 2"),
    ],
)
def test_features_that_the_encoder_lacks_are_refused(folder: Path, embedding: Any, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        build(folder, embedding)


def test_a_window_without_a_frame_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="padding_sec: 559 samples are too few"):
        Wav2Vec2BertFrontend(load_encoder(str(folder)), 559, 1)


@pytest.mark.parametrize("kind", ["rotary", "relative"])
def test_other_positions_are_refused(tmp_path: Path, kind: str) -> None:
    folder = make_bert(tmp_path, position_embeddings_type=kind)
    with pytest.raises(ConfigError, match=f"position_embeddings_type is {kind}; only relative_key"):
        build(folder, 1)


@pytest.mark.parametrize(("key", "value"), [("stride", 1), ("num_mel_bins", 80)])
def test_other_filter_banks_are_refused(tmp_path: Path, key: str, value: int) -> None:
    file = make_bert(tmp_path) / "preprocessor_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))
    with pytest.raises(ConfigError, match=f"and takes {2 * BANDS} values a frame; supported is a stride of 2"):
        load_encoder(str(tmp_path))


def test_exported_graphs_give_the_same(folder: Path, signals: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    statistics, (waveform, length) = EncoderStatistics(build(folder, [1, 2]), "mean_deviation").eval(), signals
    expected = statistics(waveform, length)[0].detach()
    proto = to_onnx(statistics, (waveform[:2], length[:2]), tmp_path / "model.onnx")
    assert not {node.op_type for node in proto.graph.node} & {"STFT", "DFT", "Einsum", "NonZero"}
    session = onnx_session(tmp_path / "model.onnx", threads=1)
    for count in (1, len(LENGTHS)):
        rows = {"waveform": waveform[:count].numpy(), "length": length[:count].numpy()}
        np.testing.assert_allclose(session.run(None, rows)[0], expected[:count].numpy(), rtol=0, atol=1e-4)
    torch.testing.assert_close(
        traced(statistics, (waveform[:2], length[:2]))(waveform, length)[0], expected, rtol=1e-5, atol=1e-5
    )
