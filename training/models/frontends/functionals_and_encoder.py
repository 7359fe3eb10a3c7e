"""Functionals of a window beside statistics of an encoder's states."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from training.models.base import Frontend
from training.models.frontends.encoder_base import EncoderFrontend
from training.models.frontends.frame_pooling import mean_and_deviation, mean_over
from training.models.frontends.functionals import Functionals

Statistics = Literal["mean", "mean_deviation"]
"""Those that need no weights of their own, so that they can be cached."""


class EncoderStatistics(Frontend):
    """Statistics of a frozen encoder's states over a window's frames: (batch, dims, 1).

    Args:
        encoder: gives the states.
        pooling: which statistics.

    Attributes:
        dims: number of statistics.
    """

    def __init__(self, encoder: EncoderFrontend, pooling: Statistics) -> None:
        super().__init__()
        self.encoder, self.pooling = encoder, pooling
        self.description = encoder.description
        self.any_length = encoder.any_length
        self.dims = encoder.shape[-2] * (2 if pooling == "mean_deviation" else 1)

    def settings(self) -> dict[str, Any]:
        """The encoder's, and the statistics."""
        return {
            "frontend": "encoder_statistics",
            "version": 1,
            "pooling": self.pooling,
            "encoder": self.encoder.settings(),
        }

    def forward(self, waveform: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, W) and (batch,) in; (batch, dims, 1) float32 and (batch,) ones out: the window is one frame."""
        states, frames = self.encoder(waveform, length)
        found = mean_over(states, frames) if self.pooling == "mean" else mean_and_deviation(states, frames)
        return found.unsqueeze(2), torch.ones_like(length)


class FunctionalsAndEncoder(Frontend):
    """Functionals and encoder statistics of a window as one vector; each is cached by itself.

    Args:
        functionals: of the sound.
        statistics: of the encoder's states.

    Attributes:
        dims: number of values.
    """

    def __init__(self, functionals: Functionals, statistics: EncoderStatistics) -> None:
        super().__init__()
        self.functionals, self.statistics = functionals, statistics
        self.description = statistics.description
        self.any_length = functionals.any_length and statistics.any_length
        self.dims = functionals.dims + statistics.dims

    @property
    def parts(self) -> tuple[Frontend, ...]:
        """The frontends whose features stand one after the other."""
        return self.functionals, self.statistics

    def settings(self) -> dict[str, Any]:
        """Those of the parts."""
        return {"frontend": "joined", "version": 1, "parts": [part.settings() for part in self.parts]}

    def forward(self, waveform: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, W) and (batch,) in; (batch, dims, 1) float32 and (batch,) ones out: the window is one frame."""
        found = [part(waveform, length)[0] for part in self.parts]
        return torch.cat(found, dim=1), torch.ones_like(length)
