"""The network of SpeechBrain's wav2vec2 emotion recipe: an encoder, its normalised frames' mean, and one layer.

Wang, Boumadane and Heba, "A Fine-tuned Wav2vec 2.0/HuBERT Benchmark for Speech Emotion Recognition", 2021. SpeechBrain
adds noise of at most 9e-5 to the mean, also when it answers; here there is none.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.huggingface.frames import Frames, mean_of
from training.models.base import Logits
from training.models.frontends.masks import standardised

_EPS = 1e-5
"""Of SpeechBrain's norms, both of a clip's samples and of its frames."""


class Parts(nn.Module):
    """The weights of a checkpoint.

    Args:
        encoder: the network of ``wav2vec2.ckpt``.
        classes: outputs of that of ``model.ckpt``.
        bias: whether it has one.
    """

    def __init__(self, encoder: Any, classes: int, *, bias: bool) -> None:
        super().__init__()
        self.wav2vec2 = encoder
        self.output = nn.Linear(encoder.config.hidden_size, classes, bias=bias)


class Recipe(nn.Module):
    """Raw samples to logits, exact in any batch.

    Args:
        parts: the weights; its modules are taken over.
        normalize: each clip is brought to mean 0 and variance 1 first.
        output_norm: so are all the values of its frames together.
        window: W, the most samples of a clip.
        target: what the labels are of.

    Raises:
        ConfigError: the shortest clip that the toolkit accepts has no frame.
    """

    def __init__(self, parts: Parts, *, normalize: bool, output_norm: bool, window: int, target: str) -> None:
        super().__init__()
        self.target, self.normalize, self.output_norm = target, normalize, output_norm
        self.frames = Frames(parts.wav2vec2, False, window)
        self.classifier = parts.output

    def forward(self, waveform: Tensor, length: Tensor) -> Logits:
        """(batch, samples) float32 and (batch,) int64 in; target -> (batch, classes) logits out."""
        if self.normalize:
            waveform = standardised(waveform, length, _EPS)
        state, valid = self.frames.last(waveform, length)
        if self.output_norm:
            values = valid.sum(dim=1) * state.shape[2]
            state = torch.unflatten(standardised(state.flatten(1), values, _EPS), 1, state.shape[1:])
        return {self.target: self.classifier(mean_of(state, valid))}


class Original(nn.Module):
    """What SpeechBrain answers for a clip alone, without its noise, to prove a bundle against. Args as ``Recipe``."""

    def __init__(self, parts: Parts, *, normalize: bool, output_norm: bool, target: str) -> None:
        super().__init__()
        self.parts, self.normalize, self.output_norm, self.targets = parts, normalize, output_norm, (target,)

    def forward(self, waveform: Tensor, length: Tensor) -> tuple[Tensor, ...]:
        """(1, samples) float32 and (1,) int64 in; (1, classes) probabilities out."""
        clip = waveform[:, : int(length[0])]
        clip = functional.layer_norm(clip, clip.shape[1:]) if self.normalize else clip
        state = self.parts.wav2vec2(clip).last_hidden_state
        state = functional.layer_norm(state, state.shape[1:]) if self.output_norm else state
        return (self.parts.output(state.mean(dim=1)).softmax(dim=1),)
