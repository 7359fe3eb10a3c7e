"""The layers of an encoder, run over frames of which some are invalid."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn
from torch.nn import functional

MASKED = -1e4
"""Added to the scores of invalid frames: far below any, and finite in fp16, so that a row without a valid frame is."""


class TransformerStack(nn.Module, ABC):
    """The first layers of a transformer, and what positions it has.

    Attributes:
        layers: of transformers, taken over from an encoder.
        block: frames are padded to a multiple of it inside, with frames that are masked.
    """

    layers: nn.ModuleList
    block: int = 1

    def forward(self, features: Tensor, valid: Tensor) -> list[Tensor]:
        """(batch, dims, frames) and (batch, frames) in; every hidden state out, (batch, frames, dims) each."""
        if self.block == 1:
            return self._states(features, valid)
        frames = features.shape[2]
        more = (0, -frames % self.block)
        states = self._states(functional.pad(features, more), functional.pad(valid, more))
        return [state[:, :frames] for state in states]

    @abstractmethod
    def _states(self, features: Tensor, valid: Tensor) -> list[Tensor]:
        """As ``forward``, for the frames that are there."""
