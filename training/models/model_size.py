"""How large a model is allowed to be, checked before anything of its size is made: descriptions come from files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from emotions.errors import ConfigError, first_line, plain

_MAX_NUMBER = 10_000_000
"""Of any setting: kernels, vocabularies, rates. What a product of several makes is counted as parameters."""
_MAX_LAYERS = 1_000
_MAX_OF = {
    "chunk_length": 3_600,
    "feature_projection_input_dim": 8_192,
    "feature_size": 4_096,
    "n_fft": 65_536,
    "num_conv_pos_embeddings": 1_000,
    "num_labels": 20_000,
    "num_mel_bins": 4_096,
}
"""Of settings that tables or layers are made of: positional embeddings of data2vec are so many."""
_MAX_ENTRIES = 200_000
"""Of all lists and objects of a description together: some have a filterbank of 128 x 201 inside."""
_IMPOSSIBLE = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
_FLOAT_BYTES = 4


def check_numbers(settings: Mapping[str, Any]) -> None:
    """Refuse a description of a model that no model has: a number, of layers or anything else, beyond all measure.

    Args:
        settings: the description, from JSON.

    Raises:
        ConfigError: names the setting.
    """
    waiting: list[tuple[str, Any]] = [("", settings)]
    entries = 0
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, Mapping):
            inner = [(str(key), each) for key, each in value.items()]
        elif isinstance(value, list):
            inner = [(name, each) for each in value]
        else:
            _check_number(name, value)
            continue
        entries += len(inner)
        if entries > _MAX_ENTRIES:
            raise ConfigError(f"the description has more than {_MAX_ENTRIES:,} entries")
        waiting.extend(inner)


def _check_number(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    most = _MAX_OF.get(name, _MAX_LAYERS if name.endswith("layers") else _MAX_NUMBER)
    if not -_MAX_NUMBER <= value <= most:  # compared first: an integer of any length has no other form
        raise ConfigError(f"{plain(name)} is beyond {most:,}, the most that is allowed")


def without_memory(build: Callable[[], nn.Module], most: int | None = None) -> nn.Module:
    """Build a model whose tensors have shapes alone, and refuse it where it is too large.

    Args:
        build: makes the model.
        most: parameters that it may have; by default as many as the machine's memory holds in float32.

    Returns:
        The model on torch's device ``meta``.

    Raises:
        ConfigError: it is impossible, has more parameters, or tables beside them that memory does not hold.
    """
    room = _memory() // _FLOAT_BYTES
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            model = build()
    except ConfigError:
        raise
    except _IMPOSSIBLE as error:
        raise ConfigError(f"the description makes no model ({first_line(error)})") from error
    parameters = sum(each.numel() for each in model.parameters())
    if parameters > (room if most is None else most):
        beyond = "than this machine's memory holds" if most is None else f"than the {most:,} that the weights can hold"
        raise ConfigError(f"the description makes {parameters:,} parameters, more {beyond}")
    if sum(each.numel() for each in model.buffers()) > room:
        raise ConfigError("the description makes larger tables than this machine's memory holds")
    return model


def _memory() -> int:
    """Bytes of the machine's memory; where the system does not say, 16 GiB."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 16 << 30
