"""Transformers of encoders that place their frames otherwise than wav2vec2, run with masks as its ``Context`` is."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from training.models.frontends.masks import masked_up_to
from training.models.frontends.wav2vec2_context import Context, attended

_MASKED = -1e4


class StackedContext(Context):
    """The transformer of data2vec-audio: several positional convolutions, each masked, and norms after its parts."""

    def __init__(self, source: Any, depth: int) -> None:
        nn.Module.__init__(self)
        self.block, self.stable, self.buckets = 1, False, None
        self.position, self.norm = source.encoder.pos_conv_embed, source.encoder.layer_norm
        self.layers = source.encoder.layers[:depth]

    def _positions(self, features: Tensor, valid: Tensor) -> Tensor:
        for layer in self.position.layers:
            features = torch.where(valid.unsqueeze(1), layer(features), 0.0)
        return features


class SqueezedContext(Context):
    """The transformer of SEW: it sees one frame of several, and its answers are spread over them again.

    Attributes:
        factor: how many frames become one.
    """

    def __init__(self, source: Any, depth: int) -> None:
        nn.Module.__init__(self)
        encoder = source.encoder
        self.block, self.stable, self.buckets = 1, False, None
        self.factor: int = source.config.squeeze_factor
        self.first_norm = source.layer_norm
        self.projection: Any = source.feature_projection if source.project_features else nn.Identity()
        self.position, self.pool, self.upsample = encoder.pos_conv_embed, encoder.pool, encoder.upsample
        if parametrize.is_parametrized(self.position.conv):
            parametrize.remove_parametrizations(self.position.conv, "weight")
        self.norm: Any = encoder.layer_norm
        self.layers = encoder.layers[:depth]

    def forward(self, features: Tensor, valid: Tensor) -> list[Tensor]:
        """(batch, convolutional dims, frames) and (batch, frames) in; the last hidden state out, as a list of one."""
        frames = features.shape[2]
        projected = self.projection(self.first_norm(features.transpose(1, 2))).transpose(1, 2)
        # A whole number of squeezed frames; what is added is masked, as is a rest that alone would be left out.
        projected = nn.functional.pad(torch.where(valid.unsqueeze(1), projected, 0.0), (0, -frames % self.factor))
        count = torch.div(valid.sum(dim=1), self.factor, rounding_mode="floor")
        squeezed = self.pool(projected)
        kept = masked_up_to(count, squeezed.shape[2])
        positions = self.position(projected)[:, :, : squeezed.shape[2]]
        state = self.norm((squeezed + positions).transpose(1, 2))
        for layer in self.layers:
            state = _plain_layer(layer, state, kept)
        spread = self.upsample(torch.where(kept.unsqueeze(2), state, 0.0))[:, :frames]
        covered = masked_up_to(count * self.factor, frames)
        return [torch.where(covered.unsqueeze(2), spread, 0.0)]


def _plain_layer(layer: Any, state: Tensor, valid: Tensor) -> Tensor:
    """A transformer layer with its norms after its parts, on (batch, frames, dims)."""
    mask = torch.where(valid, 0.0, _MASKED)[:, None, None, :]
    state = layer.layer_norm(state + attended(layer.attention, state, mask, None))
    return layer.final_layer_norm(state + layer.feed_forward(state))  # type: ignore[no-any-return]


class ConformerContext(nn.Module):
    """The transformer of wav2vec2-conformer: convolutions inside each layer, positions relative, rotary or none.

    Gulati et al., "Conformer", Interspeech 2020.
    """

    def __init__(self, source: Any, depth: int) -> None:
        super().__init__()
        encoder = source.encoder
        self.kind: str | None = source.config.position_embeddings_type
        self.layers: nn.ModuleList = encoder.layers[:depth]
        positions = encoder.embed_positions
        if self.kind == "relative":
            self.register_buffer("table", positions.pe.clone(), persistent=False)
        elif self.kind == "rotary":
            self.register_buffer("rates", positions.inv_freq.clone(), persistent=False)

    def forward(self, features: Tensor, valid: Tensor) -> list[Tensor]:
        """(batch, dims, frames) and (batch, frames) in; every hidden state out, (batch, frames, dims) each."""
        states = [features.transpose(1, 2)]
        places = self._places(features.shape[2])
        for layer in self.layers:
            states.append(conformer_layer(layer, states[-1], valid, places))
        return states

    def _places(self, frames: int) -> Tensor | None:
        """What the attention of a kind takes of its positions, as transformers computes it."""
        if self.kind == "relative":
            table: Any = self.table
            middle = table.shape[1] // 2
            return table[:, middle - frames + 1 : middle + frames]  # type: ignore[no-any-return]
        if self.kind == "rotary":
            rates: Any = self.rates
            angles = torch.arange(frames, device=rates.device).to(rates.dtype)[:, None] * rates
            turns = torch.cat([angles, angles], dim=-1)[:, None, None, :]
            return torch.stack([turns.cos(), turns.sin()])
        return None


def conformer_layer(layer: Any, state: Tensor, valid: Tensor, places: Tensor | None) -> Tensor:
    """One layer of a conformer.

    Args:
        layer: a layer of transformers, of wav2vec2-conformer.
        state: (batch, frames, dims).
        valid: (batch, frames) bool.
        places: what its attention takes of positions.
    """
    state = layer.ffn1(layer.ffn1_layer_norm(state)) * 0.5 + state
    mask = torch.where(valid, 0.0, _MASKED)[:, None, None, :]
    attend = _relatively_attended if layer.self_attn.position_embeddings_type == "relative" else _attended
    state = state + attend(layer.self_attn, layer.self_attn_layer_norm(state), mask, places)
    state = state + _convolved(layer.conv_module, state, valid)
    return layer.final_layer_norm(layer.ffn2(layer.ffn2_layer_norm(state)) * 0.5 + state)  # type: ignore[no-any-return]


def _attended(attention: Any, state: Tensor, mask: Tensor, places: Tensor | None) -> Tensor:
    """Attention with rotary positions or none, as transformers computes it."""
    return attention(state, attention_mask=mask, relative_position_embeddings=places)[0]  # type: ignore[no-any-return]


def _relatively_attended(attention: Any, state: Tensor, mask: Tensor, places: Tensor | None) -> Tensor:
    """Attention with a score of each distance, picked by an index: the shift of transformers is slow to export.

    Dai et al., "Transformer-XL", 2019, section 3.3.
    """
    split, frames = (attention.num_heads, attention.head_size), state.shape[1]
    query, key, value = (
        torch.unflatten(projection(state), 2, split).transpose(1, 2)
        for projection in (attention.linear_q, attention.linear_k, attention.linear_v)
    )
    far = torch.unflatten(attention.linear_pos(places), 2, split).permute(0, 2, 3, 1)
    by_distance = torch.matmul(query + attention.pos_bias_v[None, :, None, :], far)
    step = torch.arange(frames, device=state.device)
    index = frames - 1 - step.unsqueeze(1) + step.unsqueeze(0)
    placed = by_distance.gather(3, index.expand(*by_distance.shape[:2], -1, -1))
    content = torch.matmul(query + attention.pos_bias_u[None, :, None, :], key.transpose(2, 3))
    weights = ((content + placed) * attention.scaling + mask).softmax(dim=-1)
    return attention.linear_out(torch.matmul(weights, value).transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


def _convolved(module: Any, state: Tensor, valid: Tensor) -> Tensor:
    """The convolution of a conformer layer, whose zeros past a clip are those past its end when it is alone."""
    inner = module.glu(module.pointwise_conv1(module.layer_norm(state).transpose(1, 2)))
    inner = module.depthwise_conv(torch.where(valid.unsqueeze(1), inner, 0.0))
    inner = module.pointwise_conv2(module.activation(module.batch_norm(inner)))
    return inner.transpose(1, 2)  # type: ignore[no-any-return]
