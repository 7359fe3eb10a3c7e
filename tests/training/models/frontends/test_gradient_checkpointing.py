"""Gradient checkpointing: the same features and gradients, with less kept for them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.training.models.encoders import BERT, KINDS, LAYERS, WHISPER, WHISPER_LAYERS, make_encoder
from training.models.frontends.encoder_base import EncoderFrontend
from training.models.frontends.encoders import load_encoder
from training.models.frontends.gradient_checkpointing import checkpoint_gradients
from training.models.frontends.wav2vec2 import Wav2Vec2Frontend
from training.models.frontends.wav2vec2_bert import Wav2Vec2BertFrontend
from training.models.frontends.whisper import WhisperFrontend

WINDOW = 16_000
FAMILIES: dict[str, type[EncoderFrontend]] = {WHISPER: WhisperFrontend, BERT: Wav2Vec2BertFrontend}


def gradients(frontend: EncoderFrontend) -> tuple[Tensor, dict[str, Tensor], int]:
    """Features of noise, the gradients of the weights, and how many numbers were kept for them."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor.numel()
        return tensor

    torch.manual_seed(0)
    waveform, length = 0.1 * torch.randn(3, WINDOW), torch.tensor([WINDOW, 9_000, 12_345])
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        features, _ = frontend(waveform, length)
        features.square().mean().backward()
    found = {name: weight.grad for name, weight in frontend.named_parameters() if weight.grad is not None}
    return features.detach(), found, sum(kept.values())


@pytest.mark.parametrize("kind", [*KINDS, WHISPER, BERT])
def test_gradients_are_the_same_and_less_is_kept(kind: str, tmp_path: Path) -> None:
    make_encoder(tmp_path, kind)
    depth = WHISPER_LAYERS if kind == WHISPER else LAYERS
    plain, saving = (
        FAMILIES.get(kind, Wav2Vec2Frontend)(load_encoder(str(tmp_path)), WINDOW, depth, freeze=False) for _ in range(2)
    )
    assert checkpoint_gradients(saving) == depth + len(getattr(saving, "convolutions", ()))
    features, wanted, kept = gradients(plain)
    found, gradient, less = gradients(saving)
    assert torch.equal(features, found)
    assert wanted.keys() == gradient.keys()
    for name, each in wanted.items():
        torch.testing.assert_close(gradient[name], each, rtol=1e-5, atol=1e-8)
    assert less < kept
