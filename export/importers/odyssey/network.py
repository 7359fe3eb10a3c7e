"""The network of the Odyssey 2024 baselines: WavLM, attentive statistics of its frames, and a small head.

Goncalves et al., "Odyssey 2024 - Speech Emotion Recognition Challenge: Dataset, Baseline Framework, and Results", 2024;
Okabe, Koshinaka and Shinoda, "Attentive Statistics Pooling for Deep Speaker Embedding", 2018.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from export.huggingface.frames import Frames
from training.models.base import Logits
from training.models.frontends.masks import masked_up_to

_MASKED = -1e4
_MIN_VARIANCE = 1e-5
_EPS = 1e-6


class AttentivePooling(nn.Module):
    """Mean and deviation of frames, weighed by attention.

    Args:
        dims: of a frame.
    """

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.sap_linear = nn.Linear(dims, dims)
        self.attention = nn.Parameter(torch.empty(dims, 1))

    def forward(self, state: Tensor, valid: Tensor) -> Tensor:
        """(batch, frames, dims) and (batch, frames) in; (batch, 2 * dims) out."""
        scores = torch.matmul(self.sap_linear(state).tanh(), self.attention)
        weight = torch.where(valid.unsqueeze(2), scores, _MASKED).softmax(dim=1)
        mean = (state * weight).sum(dim=1)
        around = torch.where(valid.unsqueeze(2), state - mean.unsqueeze(1), 0.0)
        deviation = (around * around * weight).sum(dim=1).clamp_min(_MIN_VARIANCE).sqrt()
        return torch.cat([mean, deviation], dim=1)


class Head(nn.Module):
    """Linear layers with layer norm and ReLU, and an output layer.

    Args:
        dims: of the statistics' halves, and of hidden layers.
        layers: hidden layers.
        classes: outputs.
    """

    def __init__(self, dims: int, layers: int, classes: int) -> None:
        super().__init__()
        inputs = [2 * dims, *[dims] * (layers - 1)]
        self.fc = nn.ModuleList(nn.Sequential(nn.Linear(size, dims), nn.LayerNorm(dims), nn.ReLU()) for size in inputs)
        self.out = nn.Sequential(nn.Linear(dims, classes))

    def forward(self, values: Tensor) -> Tensor:
        """(batch, 2 * dims) in; (batch, classes) out."""
        for layer in self.fc:
            values = layer(values)
        outputs: Tensor = self.out(values)
        return outputs


class Parts(nn.Module):
    """The weights by the names of a checkpoint.

    Args:
        encoder: the network ``ssl_model``.
        layers: hidden layers of the head.
        classes: its outputs.
    """

    def __init__(self, encoder: Any, layers: int, classes: int) -> None:
        super().__init__()
        dims = encoder.config.hidden_size
        self.ssl_model, self.pool_model = encoder, AttentivePooling(dims)
        self.ser_model = Head(dims, layers, classes)


class Odyssey(nn.Module):
    """Raw samples to outputs, exact in any batch.

    Args:
        parts: the weights; its modules are taken over.
        mean: of the samples of the training data.
        deviation: of the same.
        window: W, the most samples of a clip.
        target: what the outputs are of.

    Raises:
        ConfigError: the shortest clip that the toolkit accepts has no frame.
    """

    def __init__(self, parts: Parts, mean: float, deviation: float, window: int, target: str) -> None:
        super().__init__()
        self.target, self.mean, self.deviation = target, mean, deviation + _EPS
        self.frames = Frames(parts.ssl_model, False, window)
        self.pool, self.hidden = parts.pool_model, parts.ser_model.fc
        (self.classifier,) = parts.ser_model.out

    def forward(self, waveform: Tensor, length: Tensor) -> Logits:
        """(batch, samples) float32 and (batch,) int64 in; target -> (batch, classes) logits out."""
        waveform = (waveform - self.mean) / self.deviation
        waveform = torch.where(masked_up_to(length, waveform.shape[1]), waveform, 0.0)
        values = self.pool(*self.frames.last(waveform, length))
        for layer in self.hidden:
            values = layer(values)
        return {self.target: self.classifier(values)}


class Original(nn.Module):
    """What the baseline's own code does with a clip alone: what a bundle is proven against. Args as ``Odyssey``."""

    def __init__(self, parts: Parts, mean: float, deviation: float, target: str) -> None:
        super().__init__()
        self.parts, self.mean, self.deviation, self.targets = parts, mean, deviation, (target,)

    def forward(self, waveform: Tensor, length: Tensor) -> tuple[Tensor, ...]:
        """(1, samples) float32 and (1,) int64 in; (1, classes) probabilities out."""
        clip = (waveform[:, : int(length[0])] - self.mean) / (self.deviation + _EPS)
        state, pool = self.parts.ssl_model(clip).last_hidden_state[0], self.parts.pool_model
        weight = torch.softmax(torch.tanh(pool.sap_linear(state)) @ pool.attention, dim=0)
        mean = (state * weight).sum(0)
        deviation = ((state**2 * weight).sum(0) - mean**2).clamp(min=_MIN_VARIANCE).sqrt()
        return (self.parts.ser_model(torch.cat([mean, deviation])[None]).softmax(dim=1),)
