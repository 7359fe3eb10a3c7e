"""The Wav2Vec2-BERT frontend: states of a conformer on filter banks, exact in any batch.

The filter banks that transformers computes outside of the model are part of the graph here.

Source: Barrault et al., "Seamless: Multilingual Expressive and Streaming Speech Translation", 2023; Gulati et al.,
"Conformer: Convolution-augmented Transformer for Speech Recognition", 2020.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from emotions.errors import ConfigError
from training.models.frontends.encoder_base import EncoderFrontend
from training.models.frontends.gradient_checkpointing import run_layer
from training.models.frontends.hidden_states import chosen, kept_features
from training.models.frontends.kaldi import STACKED, StackedFilterbank, count_frames
from training.models.frontends.masks import masked_up_to
from training.models.frontends.transformer_stack import MASKED, TransformerStack

_DISTANCES = "relative_key"


class Wav2Vec2BertFrontend(EncoderFrontend):
    """Hidden states of a Wav2Vec2-BERT encoder, taken before its adapter.

    Raises:
        ConfigError: the encoder has no such layers, positions of another kind than by distance (Shaw et al., 2018), or
            a window is too short for a single frame.
    """

    name = "wav2vec2-bert"
    geometry = (
        "model_type", "feature_projection_input_dim", "layer_norm_eps", "hidden_act", "num_attention_heads",
        "position_embeddings_type", "left_max_position_embeddings", "right_max_position_embeddings",
    )  # fmt: skip

    def _take_over(self, source: Any, depth: int | None) -> nn.ModuleList:
        config = source.config
        self._check(config)
        self.filterbank = StackedFilterbank(config.feature_projection_input_dim // STACKED)
        self.projection: Any = source.feature_projection
        self.context = Conformer(source, depth or 0)
        frames = self._at_least_one(count_frames(self.window))
        self.shape = kept_features(self.embedding, depth, config.hidden_size, frames)
        return self.context.layers

    def _check(self, config: Any) -> None:
        if self.embedding == "conv":
            raise ConfigError(
                "model_architecture.embedding: 'conv'; this encoder has no convolutional features, but projection, "
                f"weighted or layers from 0 to {config.num_hidden_layers}"
            )
        if config.position_embeddings_type != _DISTANCES:
            raise ConfigError(
                f"model_architecture.encoder: its position_embeddings_type is {config.position_embeddings_type}; "
                f"only {_DISTANCES} is supported"
            )

    def forward(self, waveform: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        """Features of each window's valid samples, and how many frames."""
        banks, frames = self.filterbank(waveform, length)
        valid = masked_up_to(frames, banks.shape[1])
        projected, _ = self.projection(torch.where(valid.unsqueeze(2), banks, 0.0))
        projected = torch.where(valid.unsqueeze(2), projected, 0.0)
        return chosen(self.context(projected.transpose(1, 2), valid), valid, self.embedding), frames


class Conformer(TransformerStack):
    """The first ``depth`` layers of a Wav2Vec2-BERT encoder.

    Args:
        source: the model of transformers.
        depth: number of layers.
    """

    def __init__(self, source: Any, depth: int) -> None:
        super().__init__()
        self.layers = source.encoder.layers[:depth]

    def _states(self, features: Tensor, valid: Tensor) -> list[Tensor]:
        mask = torch.where(valid, 0.0, MASKED)[:, None, None, :]
        states = [features.transpose(1, 2)]
        for layer in self.layers:
            states.append(run_layer(_transformed, layer, states[-1], valid, mask))
        return states


def _transformed(layer: Any, state: Tensor, valid: Tensor, mask: Tensor) -> Tensor:
    """One conformer layer on (batch, frames, dims); its convolution sees frames of the past alone."""
    state = state + 0.5 * layer.ffn1(layer.ffn1_layer_norm(state))
    state = state + _attended(layer.self_attn, layer.self_attn_layer_norm(state), mask)
    state = state + layer.conv_module(state, attention_mask=valid)
    state = state + 0.5 * layer.ffn2(layer.ffn2_layer_norm(state))
    normed: Tensor = layer.final_layer_norm(state)
    return normed


def _attended(attention: Any, state: Tensor, mask: Tensor) -> Tensor:
    """Self-attention on (batch, frames, dims) with an additive mask and a bias by distance."""
    split = (attention.num_heads, attention.head_size)
    query, key, value = (
        torch.unflatten(projection(state), 2, split).transpose(1, 2)
        for projection in (attention.linear_q, attention.linear_k, attention.linear_v)
    )
    query = query * attention.scaling
    scores = torch.matmul(query, key.transpose(2, 3)) + mask + _by_distance(attention, query)
    mixed = torch.matmul(scores.softmax(dim=-1), value).transpose(1, 2).flatten(2)
    attended: Tensor = attention.linear_out(mixed)
    return attended


def _by_distance(attention: Any, query: Tensor) -> Tensor:
    """Product of each query with the learnt vector of each frame's distance: (batch, heads, frames, frames)."""
    past, future = attention.left_max_position_embeddings, attention.right_max_position_embeddings
    step = torch.arange(query.shape[2], device=query.device)
    distance = (step.unsqueeze(0) - step.unsqueeze(1)).clamp(-past, future) + past
    vectors = attention.distance_embedding(distance).transpose(1, 2)
    asked = query.permute(2, 0, 1, 3).flatten(1, 2)
    return torch.unflatten(torch.matmul(asked, vectors), 1, query.shape[:2]).permute(1, 2, 0, 3)
