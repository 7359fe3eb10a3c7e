"""Files of weights, read as weights only."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Collection, Mapping
from pathlib import Path, PurePath
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from emotions.errors import ConfigError, first_line
from training.models.frontends.hub import Checkpoint
from training.models.model_size import without_memory

_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_SAFETENSORS, _PICKLED = "model.safetensors", "pytorch_model.bin"
_BROKEN = (SafetensorError, pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError, KeyError, TypeError)
_SLACK = 1 << 20
_MAX_NAMED = 3

Network = TypeVar("Network", bound=nn.Module)


def weight_names(checkpoint: Checkpoint) -> frozenset[str]:
    """Names of the weights in the files that transformers would read; none where there are none.

    Raises:
        ConfigError: a file of weights cannot be read; it is named.
    """
    folder = checkpoint.folder
    for index in _INDEXES:
        if (folder / index).is_file():
            return frozenset(map(str, _weight_map(checkpoint, index)))
    if (folder / _SAFETENSORS).is_file():
        return frozenset(read_safetensors(checkpoint, _SAFETENSORS, names_only=True))
    return frozenset(map(str, read_pickled(checkpoint, _PICKLED))) if (folder / _PICKLED).is_file() else frozenset()


def read_safetensors(checkpoint: Checkpoint, file: str, *, names_only: bool = False) -> dict[str, Any]:
    """The tensors of a file of safetensors, by name. Raises ConfigError.

    Args:
        checkpoint: the folder.
        file: its name there.
        names_only: nothing but the names is read; every value is None.
    """
    try:
        with safe_open(checkpoint.folder / file, framework="pt") as opened:
            return {name: None if names_only else opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except _BROKEN as error:
        raise checkpoint.error(f"{file} of {{}} cannot be read as weights ({first_line(error)})") from error


def read_weights(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The weights of the files that transformers would read, float32 where they are of any float type.

    Raises:
        ConfigError: there are none, or a file of them cannot be read; it is named.
    """
    weights: dict[str, Tensor] = {}
    for file in _files(checkpoint):
        read = read_safetensors if file.endswith(".safetensors") else read_pickled
        weights |= float_tensors(checkpoint, file, read(checkpoint, file))
    return weights


def _files(checkpoint: Checkpoint) -> list[str]:
    """The files of weights: the parts that an index names, or one."""
    for index in _INDEXES:
        if (checkpoint.folder / index).is_file():
            parts = sorted({*map(str, _weight_map(checkpoint, index).values())})
            if any(PurePath(part).name != part for part in parts):
                raise checkpoint.error(f"{index} of {{}} names files outside of the folder")
            return parts
    found = [file for file in (_SAFETENSORS, _PICKLED) if (checkpoint.folder / file).is_file()]
    if not found:
        raise checkpoint.error(f"{{}} has no weights ({_SAFETENSORS} or {_PICKLED})")
    return found[:1]


def _weight_map(checkpoint: Checkpoint, index: str) -> Mapping[str, Any]:
    named = checkpoint.read_json(index).get("weight_map")
    if not isinstance(named, Mapping):
        raise checkpoint.error(f"{index} of {{}} holds no weight_map")
    return named


def read_pickled(checkpoint: Checkpoint, file: str) -> Mapping[str, Any]:
    """What a pickle holds at its top. No code of it runs. Raises ConfigError.

    Args:
        checkpoint: the folder.
        file: name of the pickle there.
    """
    try:
        content = torch.load(checkpoint.folder / file, map_location="cpu", weights_only=True)
    except _BROKEN as error:
        raise checkpoint.error(f"{file} of {{}} cannot be read as weights ({first_line(error)})") from error
    if not isinstance(content, Mapping):
        raise checkpoint.error(f"{file} of {{}} holds no weights by name")
    return content


def float_tensors(checkpoint: Checkpoint, file: str, content: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a file, float32 where they are of any float type. Raises ConfigError.

    Args:
        checkpoint: the folder.
        file: the file's name; together its tensors have no more numbers than it has bytes.
        content: name -> tensor.
    """
    wrong = sorted(str(name) for name, value in content.items() if not isinstance(value, Tensor))
    if wrong:
        raise checkpoint.error(f"{file} of {{}}: {wrong[0]} is no tensor")
    numbers = sum(value.numel() for value in content.values())
    if (
        numbers > Path(checkpoint.folder, file).stat().st_size + _SLACK
    ):  # a view may repeat a number as often as it likes
        raise checkpoint.error(f"{file} of {{}} claims {numbers:,} numbers, more than it holds")
    return {str(name): value.float() if value.is_floating_point() else value for name, value in content.items()}


def build_exactly(
    build: Callable[[], Network], weights: Mapping[str, Tensor], checkpoint: Checkpoint, file: str
) -> Network:
    """Build a network and give it weights, every one of which it must have and no other.

    Args:
        build: makes the network.
        weights: by its names.
        checkpoint: for errors.
        file: the weights' file, for errors.

    Returns:
        The network in evaluation mode.

    Raises:
        ConfigError: it is larger than its weights; a weight is missing, one too many, of another shape, or no number.
    """
    numbers = sum(value.numel() for value in weights.values())
    try:
        without_memory(build, numbers + _SLACK)
    except ConfigError as error:
        raise checkpoint.error(f"{{}}: {error}") from error
    network = build()
    expected = network.state_dict()
    for what, names in (("lack", {*expected} - {*weights}), ("hold", {*weights} - {*expected})):
        if names:
            tail = ", which the model has not" if what == "hold" else ""
            raise checkpoint.error(f"the weights of {{}} ({file}) {what} {_some(names)}{tail}")
    for name, value in weights.items():
        if value.shape != expected[name].shape:
            raise checkpoint.error(
                f"the weight {name} of {{}} has the shape {[*value.shape]}, not {[*expected[name].shape]}"
            )
        if not bool(torch.isfinite(value).all()):
            raise checkpoint.error(f"the weight {name} of {{}} holds NaN or infinity")
    network.load_state_dict(dict(weights))
    return network.eval()


def _some(names: Collection[str]) -> str:
    """The first few of many names."""
    more = len(names) - _MAX_NAMED
    return ", ".join(sorted(names)[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
