"""The Wav2Vec2 frontend: embeddings of a pre-trained encoder of the wav2vec2 line, exact in any batch.

These are wav2vec2, HuBERT, WavLM, data2vec-audio, UniSpeech and UniSpeech-SAT. In transformers, padding leaks into the
features of a padded batch: into the mean and variance that normalise a clip, into the group norm over time of the first
convolution, and into the positional convolutions. So the submodules are run here one by one, with masks: a window's
features are those of transformers for its valid samples alone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from training.models.frontends.encoder_base import EncoderFrontend
from training.models.frontends.gradient_checkpointing import run_layer
from training.models.frontends.hidden_states import chosen, kept_features
from training.models.frontends.masks import masked_up_to, standardised
from training.models.frontends.wav2vec2_context import Context


class Wav2Vec2Frontend(EncoderFrontend):
    """Embeddings of an encoder of the wav2vec2 line: convolutions over samples, then a transformer.

    Raises:
        ConfigError: the encoder has no such layers, or a window is too short for a single frame.
    """

    name = "wav2vec2"
    geometry = (
        "model_type", "conv_stride", "feat_extract_norm", "feat_extract_activation", "layer_norm_eps", "hidden_act",
        "num_attention_heads", "do_stable_layer_norm", "num_buckets", "max_bucket_distance",
    )  # fmt: skip

    def _take_over(self, source: Any, depth: int | None) -> nn.ModuleList:
        self.convolutions: Any = source.feature_extractor.conv_layers
        self.projection: Any = None if self.embedding == "conv" else source.feature_projection
        self.context: Any = None if depth is None else Context(source, depth)
        self.shape = self._shape(source.config, depth)
        return nn.ModuleList() if self.context is None else self.context.layers

    def _shape(self, config: Any, depth: int | None) -> tuple[int, ...]:
        frames = self._at_least_one(int(self.count_frames(torch.tensor(self.window, device="cpu"))))
        dims = config.conv_dim[-1] if self.embedding == "conv" else config.hidden_size
        return kept_features(embedding=self.embedding, depth=depth, dims=dims, frames=frames)

    def count_frames(self, length: Tensor) -> Tensor:
        """Frames of so many samples, the same shape, int64, 0 where there are too few."""
        for layer in self.convolutions:
            length = _convolved(layer, length)
        return length

    def forward(self, waveform: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Features of each window's valid samples, and how many frames."""
        waveform = self._cleaned(waveform, length)
        features, frames = self._convolve(waveform.unsqueeze(1), length)
        valid = masked_up_to(frames, features.shape[2])
        if self.projection is not None:
            projected = self.projection(features.transpose(1, 2))
            # HuBERT gives the projection alone, the others a pair with the normalised features.
            features = (projected[0] if isinstance(projected, tuple) else projected).transpose(1, 2)
        features = torch.where(valid.unsqueeze(1), features, 0.0)
        if self.context is not None:
            features = chosen(self.context(features, valid), valid, self.embedding)
        return features, frames

    def _convolve(self, features: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        for layer in self.convolutions:
            length = _convolved(layer, length)
            features = run_layer(_activated, layer, features, length)
        return features, length


def _activated(layer: Any, features: Tensor, length: Tensor) -> Tensor:
    """One convolution of (batch, dims, steps) with its norm and activation, of which so many steps are valid."""
    features = layer.conv(features)
    norm = getattr(layer, "layer_norm", None)
    if isinstance(norm, nn.GroupNorm):  # one group a channel: it normalises over time
        features = standardised(features, length.unsqueeze(1), norm.eps)
        features = features * norm.weight.unsqueeze(1) + norm.bias.unsqueeze(1)
    elif norm is not None:
        features = norm(features.transpose(1, 2)).transpose(1, 2)
    activated: Tensor = layer.activation(features)
    return activated


def _convolved(layer: Any, length: Tensor) -> Tensor:
    """Valid steps after a convolution without padding, of valid steps before it."""
    (kernel,), (stride,) = layer.conv.kernel_size, layer.conv.stride
    return torch.div((length - kernel + stride).clamp_min(0), stride, rounding_mode="floor")
