"""Statistics of a series of frames, each frame with a weight."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# A window may have no voiced frame at all.
_MIN_WEIGHT = 1e-3
_MIN_VARIANCE = 1e-6
# Values have a deviation of about 1. Skewness and kurtosis of nearly constant values are numerical noise: they fade.
_FAINT = 0.01
_REACH = 0.05  # half width around a quantile's level, as a share of the weight


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean over the frames, (batch, dims); 0 where all weights are 0.

    Args:
        values: (batch, frames, dims).
        weight: (batch, frames).
    """
    return (values * weight.unsqueeze(2)).sum(dim=1) / _total(weight)


def moments(values: Tensor, weight: Tensor) -> list[Tensor]:
    """Mean, deviation, skewness and kurtosis over the frames: (batch, dims) each; arguments as ``weighted_mean``."""
    mean = weighted_mean(values, weight)
    centred = values - mean.unsqueeze(1)
    squared = centred * centred
    variance = weighted_mean(squared, weight)
    scale = (variance + _FAINT).sqrt()
    skewness = weighted_mean(squared * centred, weight) / scale**3
    kurtosis = weighted_mean(squared * squared, weight) / scale**4
    return [mean, variance.sqrt(), skewness, kurtosis]


def links(values: Tensor, weight: Tensor) -> list[Tensor]:
    """Covariance and correlation of each pair of dims: (batch, dims * (dims - 1) / 2) each; as ``weighted_mean``."""
    centred = values - weighted_mean(values, weight).unsqueeze(1)
    weighed = (centred * weight.unsqueeze(2)).transpose(1, 2)
    covariance = torch.matmul(weighed, centred) / _total(weight).unsqueeze(2)
    deviation = (torch.diagonal(covariance, dim1=1, dim2=2) + _FAINT).sqrt()
    correlation = covariance / (deviation.unsqueeze(2) * deviation.unsqueeze(1))
    dims = values.shape[2]
    above = [place * dims + other for place in range(dims) for other in range(place + 1, dims)]
    return [each.flatten(1)[:, above] for each in (covariance, correlation)]


def slope(values: Tensor, weight: Tensor) -> Tensor:
    """Slope of the straight line that fits best, per second of 100 frames: (batch, dims); as ``weighted_mean``."""
    second = torch.arange(values.shape[1], device=values.device, dtype=values.dtype) / 100
    total = _total(weight)
    offset = second - (second * weight).sum(dim=1, keepdim=True) / total
    spread = (offset * offset * weight).sum(dim=1, keepdim=True) / total
    return (values * (offset * weight).unsqueeze(2)).sum(dim=1) / total / spread.clamp_min(_MIN_VARIANCE)


def quantiles(values: Tensor, weight: Tensor, levels: Sequence[float]) -> list[Tensor]:
    """Quantiles over the frames, (batch, dims) for each level: the mean of the values within 0.05 of it.

    A mean changes smoothly with the values, unlike the value of a single frame.

    Args:
        values: (batch, frames, dims).
        weight: (batch, frames).
        levels: from 0 to 1.
    """
    ordered, order = values.sort(dim=1)
    share = torch.gather(weight.unsqueeze(2).expand_as(values), 1, order)
    upto = share.cumsum(dim=1) / _total(weight).unsqueeze(2)
    before = torch.nn.functional.pad(upto[:, :-1], (0, 0, 1, 0))
    found = []
    for level in levels:
        low, high = max(0.0, level - _REACH), min(1.0, level + _REACH)
        inside = (upto.clamp_max(high) - before.clamp_min(low)).clamp_min(0.0)
        # Not divided by high - low: running sums end near 1, and the rounding differs between runtimes.
        found.append((ordered * inside).sum(dim=1) / inside.sum(dim=1).clamp_min(_MIN_WEIGHT))
    return found


def deltas(values: Tensor) -> Tensor:
    """Slope over five frames around each, per frame: (batch, frames, dims) in and out; the ends are repeated."""
    first, last = values[:, :1], values[:, -1:]
    padded = torch.cat([first, first, values, last, last], dim=1)
    count = values.shape[1]
    shifted = [padded[:, start : start + count] for start in range(5)]
    return (2 * (shifted[4] - shifted[0]) + (shifted[3] - shifted[1])) / 10


def travel(values: Tensor, weight: Tensor) -> Tensor:
    """Mean change from frame to frame: (batch, frames) and (batch, frames) in, (batch,) out."""
    change = (values[:, 1:] - values[:, :-1]).abs() * weight[:, 1:]
    return change.sum(dim=1) / weight.sum(dim=1).clamp_min(_MIN_WEIGHT)


def _total(weight: Tensor) -> Tensor:
    return weight.sum(dim=1, keepdim=True).clamp_min(_MIN_WEIGHT)
