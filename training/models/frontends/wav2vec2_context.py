"""The transformer of encoders of the wav2vec2 line, run with masks over the submodules of transformers.

Attention is written out: one implementation for all families, exportable to ONNX, in which invalid frames have no
weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from training.models.frontends.gradient_checkpointing import run_layer
from training.models.frontends.transformer_stack import MASKED, TransformerStack


class Context(TransformerStack):
    """Positional convolution and the first ``depth`` layers of a transformer, taken over from an encoder."""

    def __init__(self, source: Any, depth: int) -> None:
        super().__init__()
        self.stable: bool = getattr(source.config, "do_stable_layer_norm", False)
        self.position = source.encoder.pos_conv_embed
        for layer in _positional_layers(self.position):
            # Weight norm matters for training only: as one plain tensor the weight exports and hashes as it is used.
            if parametrize.is_parametrized(layer.conv):
                parametrize.remove_parametrizations(layer.conv, "weight")
        self.norm = None if self.stable else source.encoder.layer_norm
        self.layers = source.encoder.layers[:depth]
        self.buckets: Tensor | None
        self.register_buffer("buckets", _bias_buckets(self.layers), persistent=False)

    def _states(self, features: Tensor, valid: Tensor) -> list[Tensor]:
        state = features.transpose(1, 2) + self._positions(features, valid).transpose(1, 2)
        state = state if self.norm is None else self.norm(state)
        mask = torch.where(valid, 0.0, MASKED)[:, None, None, :]
        bias = self._bias(features.shape[2])
        states = [state]
        for layer in self.layers:
            states.append(run_layer(_transformed, layer, states[-1], mask, bias, self.stable))
        return states

    def _positions(self, features: Tensor, valid: Tensor) -> Tensor:
        norm = getattr(self.position, "batch_norm", None)
        if norm is not None:  # of some HuBERT; it shifts the zeros of invalid frames
            features = torch.where(valid.unsqueeze(1), norm(features), 0.0)
        first, *others = _positional_layers(self.position)
        positions = _positioned(first, features)
        for layer in others:  # of data2vec, each of which sees what the one before it gave past the end
            positions = _positioned(layer, torch.where(valid.unsqueeze(1), positions, 0.0))
        return positions

    def _bias(self, frames: int) -> Tensor | None:
        """WavLM's bias by distance, (heads, frames, frames); the first layer has it, for all of them."""
        if self.buckets is None:
            return None
        attention: Any = self.layers[0].attention
        reach = self.buckets.shape[0] // 2
        step = torch.arange(frames, device=self.buckets.device)
        distance = (step.unsqueeze(0) - step.unsqueeze(1)).clamp(-reach, reach) + reach
        bias: Tensor = attention.rel_attn_embed(self.buckets[distance]).permute(2, 0, 1)
        return bias


def _positional_layers(position: Any) -> Sequence[Any]:
    """The convolutions of a positional embedding: data2vec has several, the others one."""
    return getattr(position, "layers", (position,))


def _positioned(layer: Any, features: Tensor) -> Tensor:
    """One positional convolution of (batch, dims, frames), with the layer norm that data2vec has behind it."""
    found: Tensor = layer.padding(layer.conv(features))
    norm = getattr(layer, "layer_norm", None)
    found = found if norm is None else norm(found.transpose(1, 2)).transpose(1, 2)
    activated: Tensor = layer.activation(found)
    return activated


def _transformed(layer: Any, state: Tensor, mask: Tensor, bias: Tensor | None, stable: bool) -> Tensor:
    """One transformer layer on (batch, frames, dims), with its layer norms before (stable) or after its two parts."""
    if not stable:
        state = layer.layer_norm(state + attended(layer.attention, state, mask, bias))
        return layer.final_layer_norm(state + layer.feed_forward(state))  # type: ignore[no-any-return]
    state = state + attended(layer.attention, layer.layer_norm(state), mask, bias)
    state = state + layer.feed_forward(layer.final_layer_norm(state))
    adapter = getattr(layer, "adapter_layer", None)
    return state if adapter is None else state + adapter(state)


def attended(attention: Any, state: Tensor, mask: Tensor, bias: Tensor | None) -> Tensor:
    """Self-attention on (batch, frames, dims), with an additive mask (batch, 1, 1, frames) and WavLM's gated bias."""
    split = (attention.num_heads, attention.head_dim)
    query, key, value = (
        torch.unflatten(projection(state), 2, split).transpose(1, 2)
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    scores = torch.matmul(query * attention.scaling, key.transpose(2, 3)) + mask
    if bias is not None:
        scores = scores + _gate(attention, torch.unflatten(state, 2, split).transpose(1, 2)) * bias
    mixed = torch.matmul(scores.softmax(dim=-1), value).transpose(1, 2).flatten(2)
    attended: Tensor = attention.out_proj(mixed)
    return attended


def _gate(attention: Any, state: Tensor) -> Tensor:
    """How much of the bias each frame takes: (batch, heads, frames, head dims) in, (batch, heads, frames, 1) out."""
    gates = torch.unflatten(attention.gru_rel_pos_linear(state), 3, (2, 4)).sum(dim=4).sigmoid()
    gate: Tensor = gates[..., :1] * (gates[..., 1:] * attention.gru_rel_pos_const - 1.0) + 2.0
    return gate


def _bias_buckets(layers: nn.ModuleList) -> Tensor | None:
    """Bucket of each distance from -reach to reach, beyond which it stays the same: (2 * reach + 1,) int64.

    A table, as buckets come from a logarithm, and another runtime's may fall on the other side of an edge.
    """
    attention: Any = layers[0].attention if len(layers) else None
    if not hasattr(attention, "rel_attn_embed"):
        return None
    reach = attention.max_distance
    buckets: Tensor = attention._relative_positions_bucket(torch.arange(-reach, reach + 1))
    return buckets
