"""How a manifest describes a model and its encoder: without a path of the machine that trained it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from training.config.train import ModelSpec
from training.models.encoders import RANDOM


def describe_model(spec: ModelSpec) -> dict[str, Any]:
    """The resolved model, its encoder by name."""
    described = spec.model_dump(mode="json", exclude={"encoder"})
    if spec.encoder is not None:
        described["architecture"]["encoder"] = _public_name(spec.architecture["encoder"])
    return described


def describe_encoder(spec: ModelSpec) -> dict[str, Any] | None:
    """The encoder's name, whether it was kept frozen, and its settings; nothing for a model without one."""
    if spec.encoder is None:
        return None
    architecture = spec.architecture
    return {"name": _public_name(architecture["encoder"]), "frozen": architecture["freeze"], **spec.encoder}


def _public_name(encoder: str) -> str:
    """A hub's name as it is; of a folder, the last part."""
    random, name = encoder.startswith(RANDOM), encoder.removeprefix(RANDOM)
    on_hub = not random and name.count("/") == 1 and not name.startswith((".", "~", "/")) and not Path(name).exists()
    return (RANDOM if random else "") + (name if on_hub else Path(name).name)
