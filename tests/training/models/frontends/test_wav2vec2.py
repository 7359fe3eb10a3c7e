"""The Wav2Vec2 frontend: equal to transformers on each clip alone, in any batch, frozen, exportable."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import Wav2Vec2FeatureExtractor

from emotions.errors import ConfigError
from emotions.runtime.session import onnx_session
from tests.training.models.conftest import Checkpoint
from tests.training.models.encoders import CONV, HIDDEN, KINDS, LAYERS, reference
from tests.training.models.exporting import to_onnx, traced
from training.models.classifiers.wav2vec2 import LayerWeights
from training.models.frontends.encoders import blank_encoder, load_encoder
from training.models.frontends.hidden_states import Embedding
from training.models.frontends.wav2vec2 import Wav2Vec2Frontend

WINDOW = 16_000
LENGTHS = [WINDOW, 400, 719, 720, 1_000, 5_432, 15_999]
EMBEDDINGS: list[Embedding] = ["conv", "projection", 0, 1, LAYERS, "weighted"]


def build(folder: Path, embedding: Embedding, **options: Any) -> Wav2Vec2Frontend:
    return Wav2Vec2Frontend(load_encoder(str(folder)), WINDOW, embedding, **options)


@pytest.fixture(scope="module")
def signals() -> tuple[Tensor, Tensor]:
    """Noise of several lengths and levels, off centre, with garbage past the length."""
    generator = torch.Generator().manual_seed(0)
    waveform = torch.randn(len(LENGTHS), WINDOW, generator=generator)
    waveform *= torch.tensor([0.1, 0.3, 0.02, 0.2, 0.1, 0.4, 0.05])[:, None]
    length = torch.tensor(LENGTHS)
    garbage = 10 * torch.randn(waveform.shape, generator=generator)
    return torch.where(torch.arange(WINDOW) < length[:, None], waveform + 0.05, garbage), length


@pytest.mark.parametrize("kind", [*KINDS])
def test_features_equal_those_of_transformers_for_each_clip_alone(
    checkpoint: Checkpoint, signals: tuple[Tensor, Tensor], kind: str
) -> None:
    waveform, length = signals
    outputs = {embedding: build(checkpoint(kind), embedding)(waveform, length) for embedding in EMBEDDINGS}
    for row, samples in enumerate(LENGTHS):
        expected = reference(checkpoint(kind), kind, waveform[row, :samples])
        expected["weighted"] = torch.stack([expected[layer] for layer in range(LAYERS + 1)])
        for embedding, (features, frames) in outputs.items():
            count = expected[embedding].shape[-1]
            assert int(frames[row]) == count
            scale = float(expected[embedding].abs().max())
            ours = features[row, ..., :count]
            torch.testing.assert_close(ours, expected[embedding], rtol=0, atol=1e-5 * max(1.0, scale))
            assert not features[row, ..., count:].any()


# Of the others transformers' own padding leaks into its features, by a group norm, a batch norm or several positional
# convolutions; WavLM warns of its own mask.
@pytest.mark.parametrize("kind", ["wav2vec2-layer", "unispeech-layer", "unispeech-sat-layer"])
def test_features_equal_those_of_transformers_for_a_padded_batch_with_its_mask(
    checkpoint: Checkpoint, signals: tuple[Tensor, Tensor], kind: str
) -> None:
    waveform, length = signals
    clips = [row[:samples].numpy() for row, samples in zip(waveform, LENGTHS, strict=True)]
    extractor: Any = Wav2Vec2FeatureExtractor.from_pretrained(checkpoint(kind))
    padded = extractor(clips, sampling_rate=16_000, padding=True, return_attention_mask=True, return_tensors="pt")
    with torch.no_grad():
        encoder = KINDS[kind][1].from_pretrained(checkpoint(kind)).eval()
        states = encoder(**padded, output_hidden_states=True).hidden_states
    features, frames = build(checkpoint(kind), "weighted")(waveform, length)
    expected = torch.stack([state.transpose(1, 2) for state in states], dim=1)
    for row, count in enumerate(frames.tolist()):
        scale = max(1.0, float(expected[row, ..., :count].abs().max()))
        found = features[row, ..., :count]
        torch.testing.assert_close(found, expected[row, ..., :count], rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("kind", [*KINDS])
@pytest.mark.parametrize("embedding", ["conv", "weighted"])
def test_a_window_depends_neither_on_its_batch_nor_on_what_lies_past_it(
    checkpoint: Checkpoint, signals: tuple[Tensor, Tensor], kind: str, embedding: Embedding
) -> None:
    frontend, (waveform, length) = build(checkpoint(kind), embedding), signals
    features, _ = frontend(waveform, length)
    assert float(features[0].std()) > 1e-2
    past = torch.arange(WINDOW) >= length[:, None]
    for garbage in (torch.zeros(()), torch.tensor(torch.nan)):
        assert torch.equal(frontend(torch.where(past, garbage, waveform), length)[0], features)
    for row in range(len(LENGTHS)):
        alone, _ = frontend(waveform[row : row + 1], length[row : row + 1])
        torch.testing.assert_close(alone[0], features[row], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("embedding", EMBEDDINGS)
def test_shapes_are_known_before_any_waveform(
    checkpoint: Checkpoint, signals: tuple[Tensor, Tensor], embedding: Embedding
) -> None:
    frontend = build(checkpoint("wav2vec2-group"), embedding)
    features, frames = frontend(*signals)
    assert features.shape[1:] == frontend.shape
    assert frontend.shape[-2:] == (CONV if embedding == "conv" else HIDDEN, 49)
    assert (features.dtype, frames.dtype) == (torch.float32, torch.int64)
    assert frames.tolist() == [49, 1, 1, 2, 2, 16, 49]


def test_silence_and_windows_without_a_frame_stay_finite(checkpoint: Checkpoint) -> None:
    for kind in KINDS:
        frontend = build(checkpoint(kind), "weighted")
        features, frames = frontend(torch.zeros(3, WINDOW), torch.tensor([WINDOW, 399, 0]))
        assert frames.tolist() == [49, 0, 0]
        assert bool(features.isfinite().all())
        assert not features[1:].any()


def test_a_frozen_encoder_has_no_gradient_and_never_trains(
    checkpoint: Checkpoint, signals: tuple[Tensor, Tensor]
) -> None:
    frontend = build(checkpoint("wavlm-group"), LAYERS)
    before = frontend(*signals)[0]
    frontend.train()
    assert not any(module.training for module in frontend.modules())
    after = frontend(*signals)[0]
    assert not after.requires_grad
    assert torch.equal(before, after)


@pytest.mark.parametrize("kind", [*KINDS])
def test_an_unfrozen_encoder_gets_a_gradient_in_every_weight(
    checkpoint: Checkpoint, signals: tuple[Tensor, Tensor], kind: str
) -> None:
    frontend = build(checkpoint(kind), LAYERS, freeze=False)
    features, _ = frontend(*signals)
    (features * torch.randn(features.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
    gradients = {name: parameter.grad for name, parameter in frontend.named_parameters()}
    without = [name for name, gradient in gradients.items() if gradient is None or not gradient.any()]
    assert not [name for name in without if not name.endswith("k_proj.bias")]  # softmax does not see it
    assert all(gradient is None or bool(gradient.isfinite().all()) for gradient in gradients.values())


def test_only_what_the_embedding_needs_is_kept(checkpoint: Checkpoint) -> None:
    parts = {embedding: build(checkpoint("wav2vec2-layer"), embedding) for embedding in EMBEDDINGS}
    names = {embedding: {name.split(".")[0] for name in part.state_dict()} for embedding, part in parts.items()}
    assert names["conv"] == {"convolutions"}
    assert names["projection"] == {"convolutions", "projection"}
    assert names[1] == {"convolutions", "projection", "context"}
    assert len(parts[1].context.layers) == 1


def test_settings_tell_embeddings_windows_and_weights_apart(checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = checkpoint("wav2vec2-group")
    first = build(folder, "conv").settings()
    assert build(folder, "conv").settings() == first
    other = build(folder, "conv")
    other.convolutions[3].conv.weight.data[0, 0, 0] += 1e-4
    wider = Wav2Vec2Frontend(load_encoder(str(folder)), WINDOW + 1, "conv")
    plain = load_encoder(str(folder))
    unscaled = Wav2Vec2Frontend(type(plain)(plain.model, normalize=False), WINDOW, "conv")
    for changed in (other, wider, unscaled, build(folder, "projection"), build(checkpoint("hubert-group"), "conv")):
        assert changed.settings() != first


def test_weights_survive_in_a_state_dict_without_the_checkpoint(
    checkpoint: Checkpoint, signals: tuple[Tensor, Tensor]
) -> None:
    for kind in KINDS:
        frontend = build(checkpoint(kind), LAYERS)
        again = Wav2Vec2Frontend(blank_encoder(frontend.description), WINDOW, LAYERS)
        again.load_state_dict(frontend.state_dict(), strict=True)
        assert again.settings() == frontend.settings()
        assert torch.equal(again(*signals)[0], frontend(*signals)[0])


@pytest.mark.parametrize("embedding", [-1, LAYERS + 1, "last", True, 1.0])
def test_layers_that_the_encoder_lacks_are_refused(checkpoint: Checkpoint, embedding: Any) -> None:
    with pytest.raises(ConfigError, match=r"embedding: .*conv, projection, weighted or layers from 0"):
        build(checkpoint("wav2vec2-group"), embedding)


def test_a_window_without_a_frame_is_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(ConfigError, match="padding_sec: 399 samples are too few"):
        Wav2Vec2Frontend(load_encoder(str(checkpoint("wav2vec2-group"))), 399, "conv")


def test_layer_weights_start_as_the_mean_and_learn() -> None:
    features, mean = torch.randn(2, 3, 4, 5), LayerWeights(3)
    torch.testing.assert_close(mean(features), features.mean(dim=1))
    with torch.no_grad():
        mean.scores.copy_(torch.tensor([0.0, 100.0, 0.0]))
    torch.testing.assert_close(mean(features), features[:, 1])


EXPORTED_TOO = (
    "wav2vec2-layer",
    "hubert-layer",
    "hubert-group",
    "wavlm-group",
    "unispeech-layer",
    "unispeech-sat-group",
)
EXPORTED: list[Any] = [
    ("wav2vec2-group", "conv"),
    ("wav2vec2-layer", "projection"),
    ("hubert-group", 1),
    *((kind, "weighted") for kind in KINDS if kind not in EXPORTED_TOO),
    *(pytest.param(kind, "weighted", marks=pytest.mark.slow) for kind in EXPORTED_TOO),
]


@pytest.mark.parametrize(("kind", "embedding"), EXPORTED)
def test_onnx_equals_torch(
    checkpoint: Checkpoint, signals: tuple[Tensor, Tensor], tmp_path: Path, kind: str, embedding: Embedding
) -> None:
    frontend = build(checkpoint(kind), embedding)
    waveform, length = (torch.cat([part, part[:1]]) for part in signals)
    waveform[-1] = 0
    expected = frontend(waveform, length)[0]
    proto = to_onnx(frontend, (waveform[:2], length[:2]), tmp_path / "frontend.onnx")
    session = onnx_session(tmp_path / "frontend.onnx", threads=1)
    scale = max(1.0, float(expected.abs().max()) / 10)
    for count in (1, len(waveform)):
        rows = {"waveform": waveform[:count].numpy(), "length": length[:count].numpy()}
        np.testing.assert_allclose(session.run(None, rows)[0], expected[:count], rtol=0, atol=1e-4 * scale)
    operators = {node.op_type for node in proto.graph.node}
    assert not operators & {"STFT", "DFT", "GroupNormalization", "Mean", "NonZero", "Log"}


@pytest.mark.parametrize("kind", [*KINDS])
def test_torchscript_equals_torch(checkpoint: Checkpoint, signals: tuple[Tensor, Tensor], kind: str) -> None:
    frontend, (waveform, length) = build(checkpoint(kind), "weighted"), signals
    script = traced(frontend, (waveform[:2], length[:2]))
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # saving is deprecated, too
        torch.jit.save(script, buffer)
        buffer.seek(0)
        loaded = torch.jit.load(buffer)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(loaded(waveform, length)[0], frontend(waveform, length)[0], rtol=1e-5, atol=1e-5)
