"""What is deployed: a classifier from raw samples to probabilities, one tensor a target."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Deployable(nn.Module):
    """A classifier, its temperature, and softmax.

    Args:
        classifier: ``waveform (batch, W), length (batch,) -> {target: logits (batch, classes)}``.
        targets: in the order of the answers.
        temperature: what logits are divided by; 1 leaves them as they were trained.
    """

    temperature: Tensor

    def __init__(self, classifier: nn.Module, targets: Sequence[str], temperature: float = 1.0) -> None:
        super().__init__()
        self.classifier = classifier
        self.targets = tuple(targets)
        self.register_buffer("temperature", torch.tensor(temperature))
        self.eval()

    def forward(self, waveform: Tensor, length: Tensor) -> tuple[Tensor, ...]:
        """(batch, W) float32 and (batch,) int64 in; (batch, classes) float32 probabilities of each target out."""
        logits = self.classifier(waveform, length)
        return tuple((logits[target] / self.temperature).softmax(dim=1) for target in self.targets)
