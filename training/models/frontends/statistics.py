"""Statistics of a series of frames, each frame with a weight.

Weights of several kinds side by side, in an axis before the frames, take as many operators in a graph as those of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

# A window may have no voiced frame at all.
_MIN_WEIGHT = 1e-3
_MIN_VARIANCE = 1e-6
# Values have a deviation of about 1. Skewness and kurtosis of nearly constant values are numerical noise: they fade.
_FAINT = 0.01
_REACH = 0.05  # half width around a quantile's level, as a share of the weight


class Weights(NamedTuple):
    """How much each frame of a series counts.

    Attributes:
        each: (..., frames, 1).
        total: (..., 1), their sum, or a little where none counts.
    """

    each: Tensor
    total: Tensor


def weights_of(weight: Tensor) -> Weights:
    """Weights of frames, (..., frames)."""
    return Weights(weight.unsqueeze(-1), weight.sum(dim=-1, keepdim=True).clamp_min(_MIN_WEIGHT))


def weighted_mean(values: Tensor, weights: Weights) -> Tensor:
    """Weighted mean over the frames, (..., dims); 0 where all weights are 0.

    Args:
        values: (..., frames, dims).
        weights: of the frames.
    """
    # Not by each weight over their sum: products with 1 and 0 are exact, and runtimes differ in fewer roundings.
    return (values * weights.each).sum(dim=-2) / weights.total


def mean_and_deviation(values: Tensor, weights: Weights) -> list[Tensor]:
    """Mean and deviation over the frames: (..., dims) each; arguments as ``weighted_mean``."""
    return moments(values, weights)[:2]


def moments(values: Tensor, weights: Weights) -> list[Tensor]:
    """Mean, deviation, skewness and kurtosis over the frames: (..., dims) each; arguments as ``weighted_mean``."""
    mean = weighted_mean(values, weights)
    centred = values - mean.unsqueeze(-2)
    squared = centred * centred
    variance = weighted_mean(squared, weights)
    scale = variance + _FAINT
    skewness = weighted_mean(squared * centred, weights) / (scale * scale.sqrt())
    kurtosis = weighted_mean(squared * squared, weights) / (scale * scale)
    return [mean, variance.sqrt(), skewness, kurtosis]


def pairs(dims: int) -> Tensor:
    """Where each pair of dims is in a flattened square matrix of them: (dims * (dims - 1) / 2,) int64."""
    places: Tensor = torch.triu_indices(dims, dims, 1)
    return places[0] * dims + places[1]


def links(values: Tensor, weights: Weights, chosen: Tensor) -> Tensor:
    """Covariance and correlation of each pair of dims: (..., 2, pairs); as ``weighted_mean``.

    Args:
        values: (..., frames, dims).
        weights: of the frames.
        chosen: what ``pairs`` gives.
    """
    centred = values - weighted_mean(values, weights).unsqueeze(-2)
    weighed = centred * weights.each
    covariance = torch.matmul(weighed.transpose(-1, -2), centred) / weights.total.unsqueeze(-1)
    variance = (weighed * centred).sum(dim=-2) / weights.total
    deviation = (variance + _FAINT).sqrt()
    correlation = covariance / (deviation.unsqueeze(-1) * deviation.unsqueeze(-2))
    return torch.stack([covariance, correlation], dim=-3).flatten(-2).index_select(-1, chosen)


def slope(values: Tensor, weights: Weights) -> Tensor:
    """Slope of the straight line that fits best, per second of 100 frames: (..., dims); as ``weighted_mean``."""
    second = torch.arange(values.shape[-2], device=values.device, dtype=values.dtype).unsqueeze(1) / 100
    offset = second - weighted_mean(second, weights).unsqueeze(-2)
    weighed = Weights(offset * weights.each, weights.total)
    return weighted_mean(values, weighed) / weighted_mean(offset, weighed).clamp_min(_MIN_VARIANCE)


def quantiles(ordered: Tensor, order: Tensor, weights: Weights, levels: Sequence[float]) -> Tensor:
    """Quantiles over the frames, (batch, levels, dims): the mean of the values within 0.05 of each level.

    A mean changes smoothly with the values, unlike the value of a single frame.

    Args:
        ordered: (batch, frames, dims), the values in their order over the frames.
        order: (batch, frames, dims) int64, the frames that they are of.
        weights: of the frames, ``each`` (batch, frames, 1).
        levels: from 0 to 1.
    """
    upto = torch.gather(weights.each.expand_as(ordered), 1, order).cumsum(dim=1) / weights.total.unsqueeze(1)
    before = functional.pad(upto[..., :-1, :], (0, 0, 1, 0))
    low, high = (
        torch.tensor([min(1.0, max(0.0, level + reach)) for level in levels], device=ordered.device)[:, None, None]
        for reach in (-_REACH, _REACH)
    )
    inside = (torch.minimum(upto.unsqueeze(1), high) - torch.maximum(before.unsqueeze(1), low)).clamp_min(0.0)
    # Not divided by high - low: running sums end near 1, and the rounding differs between runtimes.
    return (ordered.unsqueeze(1) * inside).sum(dim=2) / inside.sum(dim=2).clamp_min(_MIN_WEIGHT)


def deltas(values: Tensor) -> Tensor:
    """Slope over five frames around each, per frame: (batch, frames, dims) in and out; the ends are repeated."""
    first, last = values[..., :1, :], values[..., -1:, :]
    padded = torch.cat([first, first, values, last, last], dim=1)
    before2, before, after, after2 = (padded[..., start : start + values.shape[1], :] for start in (0, 1, 3, 4))
    return (2 * (after2 - before2) + (after - before)) / 10


def travel(values: Tensor, weights: Weights) -> Tensor:
    """Mean change from frame to frame, (..., dims); as ``weighted_mean``."""
    change = (values[..., 1:, :] - values[..., :-1, :]).abs()
    return weighted_mean(change, Weights(weights.each[..., 1:, :], weights.total))
