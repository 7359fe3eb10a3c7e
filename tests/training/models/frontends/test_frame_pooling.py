"""Pooling over frames: by its definition, over valid frames alone, stable, trainable."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from training.models.frontends.frame_pooling import FramePooling

DIMS, FRAMES = 5, 9
COUNTS = [9, 4, 1, 0]
POOLINGS: list[Any] = ["mean", "mean_deviation", "attentive_statistics"]


def features() -> tuple[Tensor, Tensor]:
    """Values far from 0 for what they vary, zero past each count."""
    values = torch.randn(len(COUNTS), DIMS, FRAMES, generator=torch.Generator().manual_seed(0)) + 30
    frames = torch.tensor(COUNTS)
    return torch.where((torch.arange(FRAMES) < frames[:, None]).unsqueeze(1), values, 0.0), frames


def build(pooling: Any) -> FramePooling:
    torch.manual_seed(1)
    return FramePooling(pooling, DIMS)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_statistics_are_those_of_the_valid_frames(pooling: Any) -> None:
    module, (values, frames) = build(pooling).requires_grad_(False), features()
    found = module(values, frames)
    assert found.shape == (len(COUNTS), module.dims)
    for row, count in enumerate(COUNTS[:-1]):
        clip = values[row : row + 1, :, :count].double()
        weight = torch.full((1, 1, count), 1 / count, dtype=torch.float64)
        if module.attention is not None:
            weight = module.attention(clip.float()).double().softmax(dim=2)
            assert count == 1 or float(weight.std()) > 0
        mean = (clip * weight).sum(dim=2)
        deviation = (((clip - mean.unsqueeze(2)) ** 2 * weight).sum(dim=2) + 1e-6).sqrt()
        expected = mean if pooling == "mean" else torch.cat([mean, deviation], dim=1)
        torch.testing.assert_close(found[row].double(), expected[0], rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_one_frame_and_none_are_finite_with_their_gradients(pooling: Any) -> None:
    module, (values, frames) = build(pooling), features()
    values.requires_grad_(True)
    found = module(values, frames)
    found.sum().backward()
    assert values.grad is not None
    assert bool(found.isfinite().all())
    assert bool(values.grad.isfinite().all())
    assert not found[-1, :DIMS].any()
    if pooling != "mean":
        torch.testing.assert_close(found[2:, DIMS:], torch.full((2, DIMS), 1e-3))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_window_is_pooled_the_same_in_any_batch_and_with_any_padding(pooling: Any) -> None:
    module, (values, frames) = build(pooling), features()
    found = module(values, frames)
    for row, count in enumerate(COUNTS[:-1]):
        alone = module(values[row : row + 1, :, :count], frames[row : row + 1])
        torch.testing.assert_close(alone[0], found[row], rtol=1e-6, atol=1e-5)


def test_attention_learns_which_frames_tell() -> None:
    module, (values, frames) = build("attentive_statistics"), features()
    module(values, frames)[:2].sum().backward()
    assert all(bool(each.grad.any()) for name, each in module.named_parameters() if name != "attention.2.bias")  # type: ignore[union-attr]
