"""What transformers itself answers for a clip alone: what a bundle is proven against."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from emotions.audio.decode import SAMPLE_RATE
from emotions.audio.windows import FloatArray


class Original(nn.Module):
    """A classifier of transformers with its own feature extractor, for one clip at a time.

    Args:
        model: the classifier.
        extractor: its feature extractor.
        target: what its labels are of.
    """

    def __init__(self, model: nn.Module, extractor: Any, target: str) -> None:
        super().__init__()
        self.model, self.extractor, self.targets = model, extractor, (target,)

    def forward(self, waveform: Tensor, length: Tensor) -> tuple[Tensor, ...]:
        """(1, samples) float32 and (1,) int64 in; (1, classes) probabilities out."""
        return (self.logits(waveform[0, : int(length[0])].numpy()).softmax(dim=1),)

    def logits(self, clip: FloatArray) -> Tensor:
        """(samples,) float32 in; (1, classes) out."""
        logits: Tensor = self.model(**self.extractor(clip, sampling_rate=SAMPLE_RATE, return_tensors="pt")).logits
        return logits
