"""Base classes of all models: ``waveform, length -> frontend -> features, frames -> head -> {target: logits}``."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

Logits = dict[str, Tensor]
"""target -> (batch, classes) float32."""


class Frontend(nn.Module, ABC):
    """Waveform to features, without weights that train.

    A window's features depend on its own samples alone: neither on the batch nor on samples past ``length``.

    Attributes:
        description: of an encoder, everything needed to build it except its weights; None for other frontends.
        is_encoder: whether it is one: then half precision will do.
        any_length: whether windows may have any number of samples up to W, of which the features do not depend.
    """

    description: dict[str, Any] | None = None
    is_encoder: bool = False
    any_length: bool = False

    @abstractmethod
    def forward(self, waveform: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Compute features.

        Args:
            waveform: (batch, samples) float32 at 16 kHz.
            length: (batch,) int64, number of valid samples of each window.

        Returns:
            (batch, bins, frames) float32, zero past the valid frames, and (batch,) int64, number of valid frames.
        """

    @property
    def parts(self) -> tuple[Frontend, ...]:
        """The frontends whose features stand one after the other along the bins; itself where it is one."""
        return (self,)

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Everything that the features depend on, as JSON: the key of cached features."""


class Head(nn.Module, ABC):
    """Features to logits: the part that trains.

    Attributes:
        any_length: whether features may have any number of frames.
    """

    any_length: bool = False

    def observe(self, features: Tensor) -> None:
        """Gather statistics of training features, before they are mixed: by default none.

        Args:
            features: as ``forward`` takes them.
        """

    @abstractmethod
    def forward(self, features: Tensor, frames: Tensor) -> Logits:
        """Compute logits.

        Args:
            features: (batch, bins, frames) float32, zero past the valid frames.
            frames: (batch,) int64, number of valid frames.

        Returns:
            target -> (batch, classes) float32.
        """


class Classifier(nn.Module):
    """A frontend and a head."""

    def __init__(self, frontend: Frontend, head: Head) -> None:
        super().__init__()
        self.frontend = frontend
        self.head = head

    @property
    def any_length(self) -> bool:
        """Whether windows may have fewer samples than W, and cost less then."""
        return self.frontend.any_length and self.head.any_length

    def forward(self, waveform: Tensor, length: Tensor) -> Logits:
        """(batch, samples) float32 and (batch,) int64 in; target -> (batch, classes) logits out."""
        features, frames = self.frontend(waveform, length)
        logits: Logits = self.head(features, frames)
        return logits


def weights_hash(module: nn.Module) -> str:
    """sha256 of a module's weights: names, types, shapes and values."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def is_frozen(frontend: Frontend) -> bool:
    """Whether no weight of a frontend trains, so that its features can be cached."""
    return not any(parameter.requires_grad for parameter in frontend.parameters())
