"""The network of emotion2vec: the audio encoder of data2vec 2.0, exact in any batch, and one layer on the mean frame.

Ma et al., "emotion2vec: Self-Supervised Pre-Training for Speech Emotion Representation", 2023; Baevski et al.,
"Efficient Self-supervised Learning with Contextualized Target Representations for Vision, Speech and Language", 2022.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.huggingface.frames import mean_of
from export.importers.emotion2vec.settings import Geometry
from training.models.base import Logits
from training.models.frontends.masks import masked_up_to, standardised

_EPS = 1e-5
_MASKED = -1e4
# Zeros after the longest clip of a batch, which masks hide: exporting needs an input that is longer than one frame.
_PADDING = 320


class Emotion2vec(nn.Module):
    """Raw samples to the logits of utterance labels.

    Args:
        geometry: sizes.
        classes: how many labels there are.
        target: what they are of.
    """

    def __init__(self, geometry: Geometry, classes: int, target: str) -> None:
        super().__init__()
        self.target, self.normalize = target, geometry.normalize
        channels = [1, *(layer[0] for layer in geometry.convolutions)]
        self.convolutions = nn.ModuleList(
            Convolution(inputs, layer, grouped=geometry.group_norm and not number, normed=not geometry.group_norm)
            for number, (inputs, layer) in enumerate(zip(channels[:-1], geometry.convolutions, strict=True))
        )
        self.projection_norm = nn.LayerNorm(channels[-1])
        self.projection = nn.Linear(channels[-1], geometry.dims)
        self.positions = nn.ModuleList(
            nn.Conv1d(
                geometry.dims,
                geometry.dims,
                geometry.position_kernel,
                padding=geometry.position_kernel // 2,
                groups=geometry.position_groups,
            )
            for _ in range(geometry.positions)
        )
        self.extra_tokens = nn.Parameter(torch.zeros(1, geometry.extra_tokens, geometry.dims))
        self.alibi_scale = nn.Parameter(torch.ones(geometry.scales))
        self.norm = nn.LayerNorm(geometry.dims, eps=geometry.eps)
        self.blocks = nn.ModuleList(Block(geometry) for _ in range(geometry.prenet_depth + geometry.depth))
        self.classifier = nn.Linear(geometry.dims, classes)
        self.register_buffer("slopes", torch.tensor(alibi_slopes(geometry.heads)), persistent=False)

    def count_frames(self, length: Tensor) -> Tensor:
        """Frames of so many samples, the same shape, int64; 0 where there are too few."""
        for layer in self.convolutions:
            length = layer.steps(length)  # type: ignore[operator]
        return length

    def forward(self, waveform: Tensor, length: Tensor) -> Logits:
        """(batch, samples) float32 and (batch,) int64 in; target -> (batch, classes) logits out."""
        waveform = functional.pad(waveform, (0, _PADDING))
        if self.normalize:
            waveform = standardised(waveform, length, _EPS)
        else:
            waveform = torch.where(masked_up_to(length, waveform.shape[1]), waveform, 0.0)
        features = waveform.unsqueeze(1)
        for layer in self.convolutions:
            features, length = layer(features, length)
        valid = masked_up_to(length, features.shape[2])
        state = self.projection(self.projection_norm(features.transpose(1, 2)))
        state = torch.where(valid.unsqueeze(2), state, 0.0)
        state = self._contextualised(state + self._positions(state, valid), valid)
        return {self.target: self.classifier(mean_of(state, valid))}

    def _positions(self, state: Tensor, valid: Tensor) -> Tensor:
        features = state.transpose(1, 2)
        for layer in self.positions:
            frames = features.shape[2]
            inner = layer(features)[:, :, :frames].transpose(1, 2)
            inner = functional.gelu(functional.layer_norm(inner, inner.shape[2:], eps=_EPS)).transpose(1, 2)
            features = torch.where(valid.unsqueeze(1), inner, 0.0)
        return features.transpose(1, 2)

    def _contextualised(self, state: Tensor, valid: Tensor) -> Tensor:
        """The blocks over frames and extra tokens, which come first and belong to no frame."""
        extra = self.extra_tokens.shape[1]
        state = torch.cat([self.extra_tokens.expand(state.shape[0], -1, -1), state], dim=1)
        mask = functional.pad(torch.where(valid, 0.0, _MASKED), (extra, 0))[:, None, None, :]
        bias = self._bias(valid.shape[1])
        state = self.norm(state)
        for number, block in enumerate(self.blocks):
            scale = self.alibi_scale[number if len(self.alibi_scale) > 1 else 0].clamp_min(0)
            state = block(state, mask + functional.pad(bias * scale, (extra, 0, extra, 0)))
        return state[:, extra:]

    def _bias(self, frames: int) -> Tensor:
        """How much less a frame attends to those farther away: (1, heads, frames, frames)."""
        slopes: Any = self.slopes
        step = torch.arange(frames, device=slopes.device)
        distance = (step.unsqueeze(0) - step.unsqueeze(1)).abs().to(slopes.dtype)
        bias: Tensor = -slopes[None, :, None, None] * distance
        return bias


class Convolution(nn.Module):
    """A convolution of the waveform, GELU, and a norm over channels, over time, or none.

    Args:
        inputs: channels before it.
        layer: channels, kernel and stride.
        grouped: normalised over time.
        normed: normalised over channels.
    """

    def __init__(self, inputs: int, layer: tuple[int, int, int], *, grouped: bool, normed: bool) -> None:
        super().__init__()
        channels, self.kernel, self.stride = layer
        self.conv = nn.Conv1d(inputs, channels, self.kernel, stride=self.stride, bias=False)
        self.grouped = grouped
        self.norm: Any = (
            nn.GroupNorm(channels, channels) if grouped else nn.LayerNorm(channels) if normed else nn.Identity()
        )

    def steps(self, length: Tensor) -> Tensor:
        """Valid steps after it, of valid steps before it."""
        return torch.div((length - self.kernel + self.stride).clamp_min(0), self.stride, rounding_mode="floor")

    def forward(self, features: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, inputs, steps) and valid steps (batch,) in; the same of its outputs."""
        features, length = self.conv(features), self.steps(length)
        if self.grouped:
            features = standardised(features, length.unsqueeze(1), _EPS)
            features = features * self.norm.weight.unsqueeze(1) + self.norm.bias.unsqueeze(1)
        else:
            features = self.norm(features.transpose(1, 2)).transpose(1, 2)
        return functional.gelu(features), length


class Block(nn.Module):
    """A transformer block with its norms after its parts."""

    def __init__(self, geometry: Geometry) -> None:
        super().__init__()
        dims = geometry.dims
        self.heads = geometry.heads
        self.scale = (dims // geometry.heads) ** -0.5
        self.qkv, self.proj = nn.Linear(dims, 3 * dims), nn.Linear(dims, dims)
        self.norm1, self.norm2 = nn.LayerNorm(dims, eps=geometry.eps), nn.LayerNorm(dims, eps=geometry.eps)
        self.fc1, self.fc2 = nn.Linear(dims, geometry.hidden), nn.Linear(geometry.hidden, dims)

    def forward(self, state: Tensor, bias: Tensor) -> Tensor:
        """(batch, tokens, dims) and (batch, heads, tokens, tokens) in; (batch, tokens, dims) out."""
        query, key, value = (
            torch.unflatten(part, 2, (self.heads, -1)).transpose(1, 2) for part in self.qkv(state).chunk(3, dim=2)
        )
        scores = torch.matmul(query * self.scale, key.transpose(2, 3)) + bias
        mixed = torch.matmul(scores.softmax(dim=-1), value).transpose(1, 2).flatten(2)
        state = self.norm1(state + self.proj(mixed))
        return self.norm2(state + self.fc2(functional.gelu(self.fc1(state))))  # type: ignore[no-any-return]


def alibi_slopes(heads: int) -> list[float]:
    """How steeply each head's bias falls with distance (Press et al., "Train Short, Test Long", 2022).

    Args:
        heads: how many; of a number that is no power of two, every second slope of the next one fills up.
    """
    whole = 2 ** math.floor(math.log2(heads))
    first = 2 ** (-(2 ** -(math.log2(whole) - 3)))
    slopes = [first * first**number for number in range(whole)]
    return slopes if whole == heads else slopes + alibi_slopes(2 * whole)[0::2][: heads - whole]
