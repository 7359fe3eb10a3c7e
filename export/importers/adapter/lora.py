"""LoRA and DoRA: the weights of a base with an adapter in them.

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021; Liu et al., "DoRA: Weight-Decomposed Low-Rank
Adaptation", 2024.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from training.models.frontends.hub import Checkpoint

SETTINGS, WEIGHTS, PICKLED = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
_PREFIX = "base_model.model."
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"
_MAGNITUDE = ".lora_magnitude_vector"
# Settings that change what an adapter computes, and what they have to be: else it is refused.
_PLAIN: dict[str, Collection[Any]] = {
    "peft_type": ("LORA",),
    "bias": ("none", None),
    "fan_in_fan_out": (False, None),
    "use_dora": (False, None, True),
    "lora_bias": (False, None),
    "use_qalora": (False, None),
    "use_bdlora": (False, None),
    "alpha_pattern": ({}, None),
    "exclude_modules": (None, []),
    "layers_to_transform": (None, []),
    "layer_replication": (None, []),
    "target_parameters": (None, []),
    "trainable_token_indices": (None, [], {}),
    "megatron_config": (None, {}),
    "arrow_config": (None, {}),
    "kasa_config": (None, {}),
    "velora_config": (None, {}),
    "monteclora_config": (None, {}),
    "alora_invocation_tokens": (None, []),
}


def check_settings(settings: Mapping[str, Any], checkpoint: Checkpoint) -> None:
    """Raise ConfigError where an adapter is neither plain LoRA nor plain DoRA.

    Args:
        settings: the content of ``adapter_config.json``.
        checkpoint: for the error.
    """
    for key, allowed in _PLAIN.items():
        if settings.get(key, next(iter(allowed))) not in allowed:
            raise checkpoint.error(f"{{}}: {SETTINGS} has {key}: {settings[key]}, which is not supported")
    rank, alpha = settings.get("r"), settings.get("lora_alpha")
    for number in (rank, alpha):
        if not isinstance(number, (int, float)) or isinstance(number, bool) or not number > 0:
            raise checkpoint.error(f"{{}}: {SETTINGS} has no r and lora_alpha above 0")


def merged(
    base: Mapping[str, Tensor], adapter: Mapping[str, Tensor], settings: Mapping[str, Any], checkpoint: Checkpoint
) -> dict[str, Tensor]:
    """The weights of a base with an adapter in them.

    Args:
        base: by the names that the adapter calls them.
        adapter: the tensors of its file, float32.
        settings: the content of ``adapter_config.json``.
        checkpoint: for errors.

    Raises:
        ConfigError: a part of the adapter is missing, has no place in the base, or another shape.
    """
    named = {_name(name): value for name, value in adapter.items()}
    ends = (_DOWN, _UP, _MAGNITUDE) if settings.get("use_dora") else (_DOWN, _UP)
    parts = {name.removesuffix(end) for name in named for end in ends if name.endswith(end)}
    whole = {name: value for name, value in named.items() if not name.endswith(ends)}
    _check_targets(base, parts, settings, checkpoint)
    changed = {}
    for part in sorted(parts):
        weight = base[f"{part}.weight"] + _change(part, base, named, settings, checkpoint)
        if settings.get("use_dora"):
            weight = weight * _row_scales(part, weight, named, checkpoint)
        changed[f"{part}.weight"] = weight
    return {**base, **whole, **changed}


def _name(name: str) -> str:
    """What the base calls a tensor; magnitudes were saved with and without ``.weight``."""
    name = name.removeprefix(_PREFIX).replace(".modules_to_save.", ".")
    return name.removesuffix(".weight") if name.endswith(f"{_MAGNITUDE}.weight") else name


def _row_scales(part: str, weight: Tensor, named: Mapping[str, Tensor], checkpoint: Checkpoint) -> Tensor:
    """What gives each row of a changed weight, (outputs, inputs), the length that DoRA learnt: (outputs, 1)."""
    if part + _MAGNITUDE not in named:
        raise checkpoint.error(f"the weights of {{}} lack {part}{_MAGNITUDE}")
    magnitude = named[part + _MAGNITUDE]
    if [*magnitude.shape] != [weight.shape[0]]:
        raise checkpoint.error(
            f"the adapter {{}} has magnitudes of shape {[*magnitude.shape]} for {part}.weight of {[*weight.shape]}"
        )
    scales: Tensor = magnitude / torch.linalg.vector_norm(weight, dim=1).clamp(min=1e-30)
    return scales[:, None]


def _check_targets(
    base: Mapping[str, Tensor], parts: Collection[str], settings: Mapping[str, Any], checkpoint: Checkpoint
) -> None:
    """Refuse an adapter of a layer that the base has not, or without one that ``target_modules`` names."""
    if not parts:
        raise checkpoint.error(f"{WEIGHTS} of {{}} holds no LoRA weights")
    strange = sorted(part for part in parts if f"{part}.weight" not in base)
    if strange:
        raise checkpoint.error(f"the adapter {{}} has weights for {strange[0]}, which its base has not")
    targets = settings.get("target_modules")
    if not isinstance(targets, list):  # a pattern of others, which is not run
        return
    layers = {name.removesuffix(".weight") for name, value in base.items() if name.endswith(".weight")}
    named = {layer for layer in layers if any(layer == each or layer.endswith(f".{each}") for each in targets)}
    saved = settings.get("modules_to_save") or []
    lacking = sorted(layer for layer in named - {*parts} if layer.split(".")[0] not in saved)
    if lacking:
        raise checkpoint.error(f"the weights of {{}} lack {lacking[0]}{_DOWN}")


def _change(
    part: str,
    base: Mapping[str, Tensor],
    named: Mapping[str, Tensor],
    settings: Mapping[str, Any],
    checkpoint: Checkpoint,
) -> Tensor:
    """What is added to the weight of one layer."""
    for end in (_DOWN, _UP):
        if part + end not in named:
            raise checkpoint.error(f"the weights of {{}} lack {part}{end}")
    down, up, weight = named[part + _DOWN], named[part + _UP], base[f"{part}.weight"]
    rank = down.shape[0]
    fits = down.dim() == up.dim() == weight.dim() == 2 and down.shape[1] == weight.shape[1]
    if not fits or [*up.shape] != [weight.shape[0], rank]:
        raise checkpoint.error(
            f"the adapter {{}} has the shapes {[*down.shape]} and {[*up.shape]} for {part}.weight of {[*weight.shape]}"
        )
    if rank != settings["r"] and not settings.get("rank_pattern"):
        raise checkpoint.error(f"the weight {part}{_DOWN} of {{}} has rank {rank}, {SETTINGS} says {settings['r']}")
    scale = float(settings["lora_alpha"]) / (math.sqrt(rank) if settings.get("use_rslora") else rank)
    return torch.matmul(up, down) * scale
