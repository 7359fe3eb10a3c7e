"""Weights of a frozen encoder, stored once in the run folder and not in each checkpoint.

They are a hundred times larger than the rest of a checkpoint, and never change. A checkpoint holds their hash.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from emotions.errors import CheckpointError
from emotions.files.atomic import atomic_file
from training.models.base import Classifier, is_frozen, weights_hash

FILE = "encoder.safetensors"

_FRONTEND = "frontend."


def _encoder(model: Classifier) -> nn.Module | None:
    """A model's frontend, where it is a frozen encoder."""
    has_weights = next(model.frontend.parameters(), None) is not None
    return model.frontend if has_weights and is_frozen(model.frontend) else None


def encoder_hash(model: Classifier) -> str | None:
    """SHA-256 of the weights of a model's frozen encoder; None where it has none."""
    encoder = _encoder(model)
    return None if encoder is None else weights_hash(encoder)


def write_encoder(folder: Path, model: Classifier) -> None:
    """Write the weights of a model's frozen encoder, where it has one, into a run folder. Raises CheckpointError.

    Args:
        folder: the run folder.
        model: the model.
    """
    encoder = _encoder(model)
    if encoder is None:
        return
    weights = {name: value.detach().cpu().contiguous() for name, value in encoder.state_dict().items()}
    try:
        with atomic_file(folder / FILE) as temporary:
            save_file(weights, temporary)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{folder / FILE}: the encoder's weights cannot be written ({error})") from error


def without_encoder(state: Mapping[str, Any], model: Classifier, prefix: str) -> dict[str, Any]:
    """A state dict without the weights of the model's frozen encoder.

    Args:
        state: name -> weights.
        model: the model.
        prefix: what precedes the model's own names in ``state``.
    """
    if _encoder(model) is None:
        return dict(state)
    return {name: value for name, value in state.items() if not name.startswith(prefix + _FRONTEND)}


def read_encoder(checkpoint: Path) -> dict[str, Tensor]:
    """Read the encoder's weights beside a checkpoint, by their names in the model. Raises CheckpointError."""
    file = checkpoint.with_name(FILE)
    try:
        weights = load_file(file)
    except FileNotFoundError as error:
        raise CheckpointError(f"{checkpoint}: needs {FILE} beside it, the weights of its encoder") from error
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{file}: cannot be read, or is damaged ({error})") from error
    return {_FRONTEND + name: value for name, value in weights.items()}
