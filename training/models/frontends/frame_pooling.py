"""Statistics of a window's frames, over the valid ones alone.

Source of the attentive ones: Okabe, Koshinaka and Shinoda, "Attentive Statistics Pooling for Deep Speaker Embedding",
2018.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from training.models.frontends.masks import masked_up_to
from training.models.frontends.transformer_stack import MASKED

Pooling = Literal["mean", "mean_deviation", "attentive_statistics"]

_MIN_VARIANCE = 1e-6
_ATTENTION_SIZE = 64


def mean_over(features: Tensor, frames: Tensor) -> Tensor:
    """Mean over the valid frames.

    Args:
        features: (batch, dims, frames), zero past the valid ones.
        frames: (batch,) int64, number of valid frames.

    Returns:
        (batch, dims); 0 where no frame is valid.
    """
    return features.sum(dim=2) / frames.clamp_min(1).unsqueeze(1).to(features.dtype)


def mean_and_deviation(features: Tensor, frames: Tensor) -> Tensor:
    """Mean and deviation over the valid frames, (batch, 2 * dims); arguments as ``mean_over``."""
    mean = mean_over(features, frames)
    valid = masked_up_to(frames, features.shape[2]).unsqueeze(1)
    centred = torch.where(valid, features - mean.unsqueeze(2), 0.0)
    return torch.cat([mean, _root(mean_over(centred * centred, frames))], dim=1)


def _root(variance: Tensor) -> Tensor:
    """The deviation of a variance; not 0, where a root has no gradient."""
    return (variance + _MIN_VARIANCE).sqrt()


class FramePooling(nn.Module):
    """Statistics over a window's valid frames.

    Args:
        pooling: ``mean``; ``mean_deviation``; or ``attentive_statistics``: both, weighed by how much a small network
            finds that a frame tells.
        dims: of a frame.

    Attributes:
        dims: number of statistics.
    """

    def __init__(self, pooling: Pooling, dims: int) -> None:
        super().__init__()
        self.pooling = pooling
        self.dims = dims if pooling == "mean" else 2 * dims
        self.attention = None
        if pooling == "attentive_statistics":
            self.attention = nn.Sequential(
                nn.Conv1d(dims, _ATTENTION_SIZE, 1), nn.Tanh(), nn.Conv1d(_ATTENTION_SIZE, 1, 1)
            )

    def forward(self, features: Tensor, frames: Tensor) -> Tensor:
        """(batch, dims, frames), zero past the (batch,) valid ones; (batch, ``dims``) statistics out."""
        if self.attention is None:
            return mean_over(features, frames) if self.pooling == "mean" else mean_and_deviation(features, frames)
        valid = masked_up_to(frames, features.shape[2]).unsqueeze(1)
        weight = torch.where(valid, self.attention(features), MASKED).softmax(dim=2)
        mean = (features * weight).sum(dim=2)
        centred = torch.where(valid, features - mean.unsqueeze(2), 0.0)
        return torch.cat([mean, _root((centred * centred * weight).sum(dim=2))], dim=1)
