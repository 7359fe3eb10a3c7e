"""Classifiers on wav2vec2-like encoders: ``Wav2Vec2ForSequenceClassification`` and its like."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from export.huggingface.frames import frames_of, mean_of
from training.models.base import Logits


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
        self.target, self.frames = target, frames_of(source.base_model, normalize, window)
        self.layer_weights: Any = source.layer_weights if source.config.use_weighted_layer_sum else None
        self.projector, self.classifier = source.projector, source.classifier

    def forward(self, waveform: Tensor, length: Tensor) -> Logits:
        """(batch, samples) float32 and (batch,) int64 in; target -> (batch, classes) logits out."""
        if self.layer_weights is None:
            pooled = mean_of(*self.frames.last(waveform, length))
        else:
            states, valid = self.frames(waveform, length)
            means = torch.stack([mean_of(state, valid) for state in states], dim=2)
            pooled = torch.matmul(means, self.layer_weights.softmax(dim=0))
        return {self.target: self.classifier(self.projector(pooled))}
