"""Classifiers on wav2vec2, HuBERT and WavLM encoders: ``Wav2Vec2ForSequenceClassification`` and its like."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from emotions.audio.decode import MIN_SAMPLES
from emotions.errors import ConfigError
from training.models.base import Logits
from training.models.frontends.encoders import Encoder
from training.models.frontends.hidden_states import Embedding
from training.models.frontends.wav2vec2 import Wav2Vec2Frontend

# Zeros after the longest clip of a batch, which masks hide: exporting needs an input that is longer than one frame.
_PADDING = 320


class SpeechClassifier(nn.Module):
    """An encoder, the mean over valid frames, two linear layers; equal to transformers on each clip alone.

    The mean is taken before the projector, which is linear and does not mind, and of each layer before their weighted
    sum: so only one frame a clip goes through both.

    Args:
        source: a ``ForSequenceClassification`` of transformers; its modules are taken over.
        normalize: each clip is brought to mean 0 and variance 1 first.
        window: W, the most samples of a clip.
        target: what its labels are of.

    Raises:
        ConfigError: the shortest clip that the toolkit accepts has no frame.
    """

    def __init__(self, source: Any, normalize: bool, window: int, target: str) -> None:
        super().__init__()
        base, self.target = source.base_model, target
        weighted = source.config.use_weighted_layer_sum
        embedding: Embedding = "weighted" if weighted else source.config.num_hidden_layers
        self.frontend = Wav2Vec2Frontend(Encoder(base, normalize), window, embedding)
        if int(self.frontend.count_frames(torch.tensor(MIN_SAMPLES))) < 1:
            raise ConfigError(f"a clip of {MIN_SAMPLES} samples is too short for one frame of this encoder")
        # Encoders with stable layer norm end in a norm, which the hidden states do not have.
        stable = source.config.do_stable_layer_norm and not weighted
        self.norm: Any = base.encoder.layer_norm if stable else None
        self.layer_weights: Any = source.layer_weights if weighted else None
        self.projector, self.classifier = source.projector, source.classifier

    def forward(self, waveform: Tensor, length: Tensor) -> Logits:
        """(batch, samples) float32 and (batch,) int64 in; target -> (batch, classes) logits out."""
        features, frames = self.frontend(functional.pad(waveform, (0, _PADDING)), length)
        if self.norm is not None:
            valid = torch.arange(features.shape[2], device=frames.device) < frames.unsqueeze(1)
            features = self.norm(features.transpose(1, 2)).transpose(1, 2) * valid.unsqueeze(1)
        count = frames.clamp_min(1).to(features.dtype).unsqueeze(1)
        if self.layer_weights is None:
            pooled = features.sum(dim=2) / count
        else:
            weights = self.layer_weights.softmax(dim=0).unsqueeze(1)
            pooled = (features.sum(dim=3) * weights).sum(dim=1) / count
        return {self.target: self.classifier(self.projector(pooled))}
