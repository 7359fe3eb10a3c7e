"""Classifiers with the head of many tutorials: pooled frames, ``dense``, tanh, and ``out_proj`` or ``output``.

Their class is in no library: each checkpoint comes with a copy of it, and transformers, which does not know it, loads
the encoder with a random head. The layout is that of github.com/m3hrdadfi/soxan.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import HubertModel, Wav2Vec2Model, WavLMModel
from transformers.modeling_outputs import SequenceClassifierOutput

from export.huggingface.frames import Frames, mean_of
from training.models.base import Logits

POOLING: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mean": mean_of,
    "sum": lambda state, valid: torch.where(valid.unsqueeze(2), state, 0.0).sum(dim=1),
    "max": lambda state, valid: torch.where(valid.unsqueeze(2), state, torch.finfo(state.dtype).min).amax(dim=1),
}
"""``pooling_mode`` of config.json: (batch, frames, dims) and which frames are valid to (batch, dims)."""
ENCODERS: dict[str, Any] = {"wav2vec2": Wav2Vec2Model, "hubert": HubertModel, "wavlm": WavLMModel}
"""Model type to the class of the encoder."""
OUTPUTS = ("out_proj", "output")
"""What checkpoints call the last layer."""


def pooled_head(model_type: str, output: str) -> Any:
    """The class of a classifier, as the checkpoint's own code has it; transformers loads its weights.

    Args:
        model_type: one of ``ENCODERS``.
        output: one of ``OUTPUTS``.
    """
    encoder = ENCODERS[model_type]
    family = next(parent for parent in encoder.__mro__ if parent.__name__.endswith("PreTrainedModel"))

    class PooledHead(family):  # type: ignore[misc, valid-type]
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            setattr(self, family.base_model_prefix, encoder(config))
            self.classifier = nn.ModuleDict(
                {
                    "dense": nn.Linear(config.hidden_size, config.hidden_size),
                    output: nn.Linear(config.hidden_size, config.num_labels),
                }
            )
            self.post_init()

        def forward(self, input_values: Tensor, **_: Any) -> SequenceClassifierOutput:
            state = self.base_model(input_values).last_hidden_state
            pooled = _plainly_pooled(state, pooling_of(self.config))
            hidden = self.classifier["dense"](pooled).tanh()
            return SequenceClassifierOutput(logits=self.classifier[output](hidden))

    PooledHead.__name__ = f"{family.__name__.removesuffix('PreTrainedModel')}ForSpeechClassification"
    return PooledHead


def pooling_of(config: Any) -> str:
    """``pooling_mode`` of a configuration; the mean where it names none, as those of Chinese HuBERT classifiers."""
    return str(getattr(config, "pooling_mode", "mean"))


def _plainly_pooled(state: Tensor, mode: str) -> Tensor:
    """What the checkpoints' own code does with a clip alone: the independent side of the proof."""
    if mode == "mean":
        return torch.mean(state, dim=1)
    return torch.sum(state, dim=1) if mode == "sum" else torch.max(state, dim=1)[0]


class PooledClassifier(nn.Module):
    """The same, exact in any batch.

    Args:
        source: an instance of what ``pooled_head`` gives; its modules are taken over.
        normalize: each clip is brought to mean 0 and variance 1 first.
        window: W, the most samples of a clip.
        target: what its labels are of.
    """

    def __init__(self, source: Any, normalize: bool, window: int, target: str) -> None:
        super().__init__()
        self.target, self.frames = target, Frames(source.base_model, normalize, window)
        self.pool = POOLING[pooling_of(source.config)]
        (output,) = set(source.classifier) - {"dense"}
        self.dense, self.classifier = source.classifier["dense"], source.classifier[output]

    def forward(self, waveform: Tensor, length: Tensor) -> Logits:
        """(batch, samples) float32 and (batch,) int64 in; target -> (batch, classes) logits out."""
        pooled = self.pool(*self.frames.last(waveform, length))
        return {self.target: self.classifier(self.dense(pooled).tanh())}
