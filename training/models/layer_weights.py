"""A learnt mean over the layers of an encoder, for any head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.models.base import Head, Logits


class LayerWeights(nn.Module):
    """A learnt mean over layers, equal weights at first (as in SUPERB).

    Args:
        layers: number of hidden states.
    """

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.zeros(layers))

    def forward(self, features: Tensor) -> Tensor:
        """(batch, layers, dims, frames) in; (batch, dims, frames) out."""
        return (features * self.scores.softmax(dim=0)[:, None, None]).sum(dim=1)


class WeightedHead(Head):
    """A head on the learnt mean of every layer's features.

    Args:
        layers: number of hidden states.
        head: takes their mean.
    """

    def __init__(self, layers: int, head: Head) -> None:
        super().__init__()
        self.mean = LayerWeights(layers)
        self.head = head

    def forward(self, features: Tensor, frames: Tensor) -> Logits:
        """(batch, layers, dims, frames) and (batch,) valid frames in; target -> (batch, classes) logits out."""
        logits: Logits = self.head(self.mean(features), frames)
        return logits


def weighed(shape: tuple[int, ...], head: Head) -> Head:
    """The head itself, or for features of all layers the head on their learnt mean.

    Args:
        shape: of a window's features: (dims, frames) or (layers, dims, frames).
        head: takes (batch, dims, frames).
    """
    return WeightedHead(shape[0], head) if len(shape) == 3 else head
