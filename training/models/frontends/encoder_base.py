"""What the frontends on pre-trained encoders have in common, whatever the family."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from emotions.errors import ConfigError
from training.models.base import Frontend, weights_hash
from training.models.frontends.encoders import Encoder
from training.models.frontends.hidden_states import Embedding, depth_of, only_last_trains
from training.models.frontends.masks import masked_up_to, standardised

_NORMALIZE_EPS = 1e-7
"""The feature extractors' of transformers."""


class EncoderFrontend(Frontend):
    """Features of an encoder, of which only the submodules that the embedding needs are kept.

    The encoder is always in evaluation mode: no dropout, no layer drop, no masking of frames.

    Args:
        encoder: what ``load_encoder`` gives; its modules are taken over.
        window: W, the samples of a window; any other number of samples works too, but heads are built for this one.
        embedding: which features, see ``Embedding``.
        freeze: the encoder's weights get no gradient.
        trainable_layers: of an encoder that is not frozen, only so many of its last transformer layers get one, or
            ``all`` of the encoder.

    Attributes:
        name: of the frontend, in its settings.
        geometry: the encoder's settings that the features depend on apart from the weights.
        shape: of a window's features: (dims, frames), or (layers, dims, frames) for ``weighted``.

    Raises:
        ConfigError: the encoder has no such layers, or a window is too short or too long for it.
    """

    is_encoder = any_length = True
    name: ClassVar[str]
    geometry: ClassVar[tuple[str, ...]]
    shape: tuple[int, ...]

    def __init__(
        self,
        encoder: Encoder,
        window: int,
        embedding: Embedding,
        *,
        freeze: bool = True,
        trainable_layers: Literal["all"] | int = "all",
    ) -> None:
        super().__init__()
        source: Any = encoder.model
        self.embedding, self.window, self.normalize = embedding, window, encoder.normalize
        self.description = encoder.description()
        self.config = {key: getattr(source.config, key, None) for key in self.geometry}
        layers = self._take_over(source, depth_of(embedding, len(source.encoder.layers)))
        self.requires_grad_(not freeze and trainable_layers == "all")
        if not freeze and trainable_layers != "all":
            only_last_trains(layers, trainable_layers, embedding)
        self.train()

    @abstractmethod
    def _take_over(self, source: Any, depth: int | None) -> nn.ModuleList:
        """Keep the submodules that the embedding needs, and set ``shape``.

        Args:
            source: the model of transformers.
            depth: transformer layers that the embedding needs; None where it is taken before them.

        Returns:
            The transformer layers that are kept.
        """

    def train(self, mode: bool = True) -> Self:  # noqa: ARG002 - the encoder never trains its dropout
        """Stay in evaluation mode."""
        return super().train(False)

    def settings(self) -> dict[str, Any]:
        """Embedding, window, the encoder's geometry, and a hash of the weights that are kept."""
        own = {"embedding": self.embedding, "window": self.window, "normalize": self.normalize}
        return {"frontend": self.name, "version": 1, **own, "weights": weights_hash(self), "encoder": self.config}

    @abstractmethod
    def forward(self, waveform: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Compute features.

        Args:
            waveform: (batch, samples) float32 at 16 kHz.
            length: (batch,) int64, number of valid samples of each window.

        Returns:
            (batch, dims, frames) float32, or (batch, layers, dims, frames) for ``weighted``; zero past the valid
            frames, of 20 ms; and (batch,) int64, number of valid frames.
        """

    def _at_least_one(self, frames: int) -> int:
        """Frames of a window; ConfigError where there are none."""
        if frames < 1:
            raise ConfigError(
                f"learn_params.padding_sec: {self.window} samples are too few for one frame of the encoder"
            )
        return frames

    def _cleaned(self, waveform: Tensor, length: Tensor) -> Tensor:
        """The waveform as the encoder expects it, zero past each length."""
        if self.normalize:
            return standardised(waveform, length, _NORMALIZE_EPS)
        return torch.where(masked_up_to(length, waveform.shape[1]), waveform, 0.0)
