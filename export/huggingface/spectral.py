"""Classifiers on spectrograms of a fixed length: ``ASTForAudioClassification`` and ``WhisperForAudioClassification``.

They receive zeros after a clip, as they did in training, so what the longest clip costs every clip costs.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from export.huggingface.filterbanks import KaldiFilterbank, WhisperFilterbank
from training.models.base import Logits


class SpectralClassifier(nn.Module):
    """Features in the graph, then the model of transformers as it is.

    Args:
        features: ``waveform (batch, samples), length (batch,) -> what the model takes``.
        source: the model.
        target: what its labels are of.
    """

    def __init__(self, features: KaldiFilterbank | WhisperFilterbank, source: nn.Module, target: str) -> None:
        super().__init__()
        self.features, self.source, self.target = features, source, target

    def forward(self, waveform: Tensor, length: Tensor) -> Logits:
        """(batch, samples) float32 and (batch,) int64 in; target -> (batch, classes) logits out."""
        answer: Any = self.source(self.features(waveform, length))
        return {self.target: answer.logits}
