"""The hidden states of a Wav2Vec2-BERT encoder, filter banks included, for each clip as if it were alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from emotions.audio.decode import MIN_SAMPLES
from emotions.errors import ConfigError
from training.models.frontends.kaldi import STACKED, StackedFilterbank
from training.models.frontends.masks import masked_up_to
from training.models.frontends.wav2vec2_bert import Conformer

SHORTEST = 560
"""Samples of one frame, of two filter banks; shorter clips are filled up with zeros."""
_DISTANCES = "relative_key"


class BankFrames(nn.Module):
    """The hidden states of a ``Wav2Vec2BertModel`` without an adapter; all else as ``Frames``.

    Args:
        base: the model; its modules are taken over.

    Raises:
        ConfigError: its positions are of another kind than by distance.
    """

    def __init__(self, base: Any) -> None:
        super().__init__()
        config = base.config
        if config.position_embeddings_type != _DISTANCES:
            raise ConfigError(
                f"its position_embeddings_type is {config.position_embeddings_type}; only {_DISTANCES} is supported"
            )
        self.filterbank = StackedFilterbank(config.feature_projection_input_dim // STACKED)
        self.projection: Any = base.feature_projection
        self.context = Conformer(base, config.num_hidden_layers)

    def forward(self, waveform: Tensor, length: Tensor) -> tuple[list[Tensor], Tensor]:
        """Every hidden state, and which frames are valid, as ``Frames``."""
        waveform = functional.pad(waveform, (0, SHORTEST - MIN_SAMPLES))
        waveform = torch.where(masked_up_to(length, waveform.shape[1]), waveform, 0.0)
        banks, frames = self.filterbank(waveform, length.clamp_min(SHORTEST))
        valid = masked_up_to(frames, banks.shape[1])
        projected, _ = self.projection(torch.where(valid.unsqueeze(2), banks, 0.0))
        projected = torch.where(valid.unsqueeze(2), projected, 0.0)
        return self.context(projected.transpose(1, 2), valid), valid

    def last(self, waveform: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """The last hidden state as transformers gives it, (batch, frames, dims). All else as ``forward``."""
        states, valid = self(waveform, length)
        return states[-1], valid
