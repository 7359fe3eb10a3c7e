"""Which states of an encoder are its features, and which of its layers train."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from emotions.errors import ConfigError

Embedding = Literal["conv", "projection", "weighted"] | int | Sequence[int]
"""``conv``: the convolutional features; ``projection``: those projected to the transformer's width; a number n: the
hidden state after transformer layer n, 0 being the first one's input; several numbers: those states side by side;
``weighted``: all of them, for a head to weigh.

They are counted and scaled as the ``hidden_states`` of transformers 5.23: wav2vec2 encoders with
``do_stable_layer_norm`` give them before their last layer norm.
"""


def depth_of(embedding: Embedding, layers: int) -> int | None:
    """Transformer layers that an embedding needs, or nothing where it is taken before the transformer.

    Args:
        embedding: which features.
        layers: transformer layers of the encoder.

    Raises:
        ConfigError: the encoder has no such layer.
    """
    if embedding in ("conv", "projection"):
        return None
    if embedding == "weighted":
        return layers
    numbers = embedding if isinstance(embedding, Sequence) and not isinstance(embedding, str) else [embedding]
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= layers:
            allowed = f"conv, projection, weighted or layers from 0 to {layers}"
            raise ConfigError(f"model_architecture.embedding: {number!r}; this encoder has {allowed}")
    return max(int(number) for number in numbers)


def kept_features(embedding: Embedding, depth: int | None, dims: int, frames: int) -> tuple[int, ...]:
    """Shape of the features of a window: (dims, frames), or (layers, dims, frames) for ``weighted``.

    Args:
        embedding: which features.
        depth: as ``depth_of`` gives it.
        dims: of one state.
        frames: of a window.
    """
    if embedding == "weighted" and depth is not None:
        return depth + 1, dims, frames
    count = len(embedding) if isinstance(embedding, Sequence) and not isinstance(embedding, str) else 1
    return count * dims, frames


def chosen(states: Sequence[Tensor], valid: Tensor, embedding: Embedding) -> Tensor:
    """The features, (batch, [layers,] dims, frames), zero where not valid.

    Args:
        states: (batch, frames, dims) of each layer, the first one's input in front, up to the last that is needed.
        valid: (batch, frames) bool.
        embedding: which features.
    """
    if embedding == "weighted":
        picked: Sequence[Tensor] = states
    elif isinstance(embedding, Sequence) and not isinstance(embedding, str):
        picked = [states[number] for number in embedding]
    else:
        picked = states[-1:]
    kept = [torch.where(valid.unsqueeze(2), state, 0.0).transpose(1, 2) for state in picked]
    return torch.stack(kept, dim=1) if embedding == "weighted" else torch.cat(kept, dim=1)


def only_last_trains(layers: nn.ModuleList, count: int, embedding: Embedding) -> None:
    """Let only the last layers get a gradient; ConfigError where there are not so many.

    Args:
        layers: those that the embedding needs.
        count: how many of them train.
        embedding: for the error.
    """
    if not 1 <= count <= len(layers):
        raise ConfigError(
            f"model_architecture.trainable_layers: found {count}; "
            f"the embedding {embedding!r} needs {len(layers)} transformer layers of this encoder"
        )
    layers[-count:].requires_grad_(True)
