"""``config.yaml`` of an emotion2vec checkpoint: what its network is, and what is not supported, in a line."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from training.models.frontends.hub import Checkpoint

CONFIG = "config.yaml"
_MAX_CONVOLUTIONS = 32
# What the released models have, and the network here does: else a checkpoint is refused.
_AUDIO = {"use_alibi_encoder": True, "learned_alibi": False, "conv_pos_pre_ln": False}
_MODEL = {"layer_norm_first": False, "norm_affine": True}


@dataclass(frozen=True)
class Geometry:
    """The network: sizes in the names of data2vec 2.0.

    Attributes:
        convolutions: channels, kernel and stride of each convolution of the waveform.
        group_norm: the first of them is normalised over time, instead of each over its channels.
        normalize: each clip is brought to mean 0 and variance 1 first.
        scales: shape of the learned scale of attention's bias.
    """

    dims: int
    heads: int
    depth: int
    prenet_depth: int
    hidden: int
    eps: float
    convolutions: tuple[tuple[int, int, int], ...]
    group_norm: bool
    positions: int
    position_kernel: int
    position_groups: int
    extra_tokens: int
    scales: tuple[int, ...]
    normalize: bool


def read_geometry(settings: Mapping[str, Any], checkpoint: Checkpoint) -> Geometry:
    """The network of a ``config.yaml``.

    Args:
        settings: its content.
        checkpoint: for errors.

    Raises:
        ConfigError: something is missing or of another kind, or the network is another.
    """
    model = settings.get("model_conf")
    audio = model.get("modalities", {}).get("audio") if isinstance(model, Mapping) else None
    if not isinstance(model, Mapping) or not isinstance(audio, Mapping):
        raise checkpoint.error(f"{{}}: {CONFIG} lacks model_conf.modalities.audio")
    for part, expected in ((audio, _AUDIO), (model, _MODEL)):
        for key, value in expected.items():
            if part.get(key, value) != value:
                raise checkpoint.error(f"{{}}: {CONFIG} has {key}: {part[key]}, which is not supported")
    return checkpoint.understood(lambda: _geometry(model, audio), CONFIG)


def _geometry(model: Mapping[str, Any], audio: Mapping[str, Any]) -> Geometry:
    try:
        layers, heads = int(audio["conv_pos_depth"]), int(model["num_heads"])
        depth, prenet = int(model["depth"]), int(audio["prenet_depth"])
        per_layer, per_head = (audio.get(f"learned_alibi_scale_per_{what}", False) for what in ("layer", "head"))
        return Geometry(
            dims=int(model["embed_dim"]),
            heads=heads,
            depth=depth,
            prenet_depth=prenet,
            hidden=int(int(model["embed_dim"]) * float(model["mlp_ratio"])),
            eps=float(model["norm_eps"]),
            convolutions=convolutions_of(str(audio["feature_encoder_spec"])),
            group_norm={"default": True, "layer_norm": False}[audio["extractor_mode"]],
            positions=layers,
            position_kernel=max(3, int(audio["conv_pos_width"]) // layers),
            position_groups=int(audio["conv_pos_groups"]),
            extra_tokens=int(audio["num_extra_tokens"]),
            scales=(prenet + depth if per_layer else 1, 1, heads if per_head else 1, 1, 1),
            normalize=bool(model.get("normalize", False)),
        )
    except (KeyError, ZeroDivisionError) as error:
        raise ValueError(f"it lacks, or misstates, {error}") from error


def convolutions_of(text: str) -> tuple[tuple[int, int, int], ...]:
    """Read ``[(512, 10, 5)] + [(512, 3, 2)] * 4``, which the original evaluates as code.

    Args:
        text: sums of lists of three numbers, each times a number.

    Raises:
        ValueError: it is anything else, or too long.
    """
    try:
        found = _evaluated(ast.parse(text[:1_000], mode="eval").body)
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError("feature_encoder_spec is no list of convolutions") from error
    if not found:
        raise ValueError("feature_encoder_spec names no convolution")
    return tuple(found)


def _evaluated(node: ast.AST) -> list[tuple[int, int, int]]:
    match node:
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            found = _evaluated(left) + _evaluated(right)
        case ast.BinOp(left=left, op=ast.Mult(), right=ast.Constant(value=int(times))) if (
            0 < times <= _MAX_CONVOLUTIONS
        ):
            found = _evaluated(left) * times
        case ast.List(elts=entries):
            found = [_convolution(entry) for entry in entries]
        case _:
            raise ValueError("feature_encoder_spec is no list of convolutions")
    if len(found) > _MAX_CONVOLUTIONS:
        raise ValueError(f"feature_encoder_spec has more than {_MAX_CONVOLUTIONS} convolutions")
    return found


def _convolution(node: ast.AST) -> tuple[int, int, int]:
    match node:
        case ast.Tuple(
            elts=[ast.Constant(value=int(channels)), ast.Constant(value=int(kernel)), ast.Constant(value=int(stride))]
        ) if min(channels, kernel, stride) > 0:
            return channels, kernel, stride
        case _:
            raise ValueError("feature_encoder_spec is no list of convolutions")
