"""Gradient checkpointing of an encoder's convolutions and transformer layers (Chen et al., 2016, arXiv:1604.06174)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

_FLAG = "gradient_checkpointing"
"""Attribute of the layers of transformers that may be checkpointed."""


def checkpoint_gradients(model: nn.Module) -> int:
    """Let the layers of a model's encoder keep nothing but their inputs for the gradient.

    Args:
        model: a classifier, or a frontend.

    Returns:
        How many layers it has.
    """
    # By its attribute: to import the class of transformers would take half a second of every training.
    layers: list[Any] = [module for module in model.modules() if hasattr(module, _FLAG)]
    for layer in layers:
        setattr(layer, _FLAG, True)
    return len(layers)


def run_layer(step: Callable[..., Tensor], layer: Any, state: Tensor, *rest: Any) -> Tensor:
    """Run one layer.

    Args:
        step: computes the layer: ``step(layer, state, *rest)``.
        layer: of transformers.
        state: (batch, frames, dims) of a transformer, (batch, dims, steps) of a convolution: what it reads.
        *rest: lengths, masks and biases.

    Returns:
        What the layer gives, as ``state``. In training with gradient checkpointing nothing else that it computes is
        kept: it is computed again when the gradient is.
    """
    if getattr(layer, _FLAG, False) and torch.is_grad_enabled():
        found: Tensor = checkpoint(step, layer, state, *rest, use_reentrant=False)
        return found
    return step(layer, state, *rest)
