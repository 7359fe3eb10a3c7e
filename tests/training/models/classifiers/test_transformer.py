"""The vision transformer: any number of heads, every parameter trained, exact in any batch, exportable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from emotions.runtime.session import onnx_session
from tests.training.models.exporting import to_onnx, traced
from training.config.architectures import TransformerArchitecture
from training.config.train import ModelSpec
from training.models.base import Classifier
from training.models.classifiers.transformer import TransformerHead
from training.models.registry import build_model

TARGETS = {"emotion": ["a", "b", "c"], "state.of.mind": ["x", "y"]}
WINDOW, SIZE = 8_000, 40


def build(**changes: Any) -> Classifier:
    architecture = {
        "layer_1_size": 24,
        "layer_2_size": 32,
        "patch_transformer_size": 8,
        "transformer_depth": 2,
        "transformer_attantion_head_count": 4,
        "scale": "mel",
        "dropout": 0.1,
    }
    torch.manual_seed(0)
    return build_model(
        ModelSpec(
            model="TransformerClassifier",
            architecture={**architecture, **changes},
            window_samples=WINDOW,
            spectrogram_size=SIZE,
            targets=TARGETS,
        )
    )


@pytest.fixture(scope="module")
def signals() -> tuple[Tensor, Tensor]:
    waveform = 0.1 * torch.randn(6, WINDOW, generator=torch.Generator().manual_seed(0)).cumsum(dim=1)
    return waveform, torch.tensor([WINDOW, 400, 3_000, WINDOW, 7_999, 1_234])


@pytest.mark.parametrize("heads", [*range(1, 10), 30])
def test_any_number_of_heads_trains_every_parameter(signals: tuple[Tensor, Tensor], heads: int) -> None:
    model = build(transformer_attantion_head_count=heads).train()
    logits = model(*signals)
    assert [*logits] == [*TARGETS]
    assert [tuple(values.shape) for values in logits.values()] == [(6, 3), (6, 2)]
    truth = torch.arange(6) % 2
    torch.stack([functional.cross_entropy(values, truth) for values in logits.values()]).sum().backward()  # type: ignore[no-untyped-call]
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without


def test_sizes_are_those_of_the_config() -> None:
    tokens: Any = build(layer_1_size=20, layer_2_size=44, transformer_depth=3, patch_transformer_size=5).head.tokens
    assert tokens.pos_embedding.shape == (65, 20)  # 8 x 8 patches and the class token
    assert len(tokens.transformer.layers) == 3
    assert tokens.transformer.layers[0][1].net[1].out_features == 44


def test_dropout_is_off_in_evaluation_and_on_in_training(signals: tuple[Tensor, Tensor]) -> None:
    model = build(dropout=0.5)
    first, second = (model.train()(*signals)["emotion"] for _ in range(2))
    assert not torch.equal(first, second)
    first, second = (model.eval()(*signals)["emotion"] for _ in range(2))
    assert torch.equal(first, second)


def test_a_clips_logits_do_not_depend_on_its_batch(signals: tuple[Tensor, Tensor]) -> None:
    model, (waveform, length) = build().eval().requires_grad_(False), signals
    together = model(waveform, length)["emotion"]
    assert float(together.std(dim=0).min()) > 1e-2
    for row in range(6):
        alone = model(waveform[row : row + 1], length[row : row + 1])["emotion"]
        torch.testing.assert_close(alone[0], together[row], rtol=0, atol=1e-5)


def test_patches_that_do_not_divide_the_image_are_refused() -> None:
    with pytest.raises(ValueError, match="patches of 7 do not divide an image of 40 x 40"):
        TransformerHead(40, TransformerArchitecture(patch_transformer_size=7), {"emotion": 2})


def test_onnx_and_torchscript_equal_torch(signals: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    model, (waveform, length) = build(transformer_attantion_head_count=5).eval().requires_grad_(False), signals
    expected = model(waveform, length)
    example = (waveform[:2], length[:2])
    script = traced(model, example)
    to_onnx(model, example, tmp_path / "model.onnx")
    session = onnx_session(tmp_path / "model.onnx", threads=1)
    for count in (1, 6):
        rows = {"waveform": waveform[:count].numpy(), "length": length[:count].numpy()}
        for answer, target in zip(session.run(None, rows), TARGETS, strict=True):
            np.testing.assert_allclose(answer, expected[target][:count], rtol=0, atol=1e-4)
            actual = script(waveform[:count], length[:count])[target]
            torch.testing.assert_close(actual, expected[target][:count], rtol=1e-5, atol=1e-5)
