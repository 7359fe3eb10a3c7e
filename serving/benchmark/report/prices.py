"""What an hour of audio costs, by a table of what an hour of machines costs: ``{"NAME": PRICE}``, in any currency."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emotions.errors import ConfigError, plain
from emotions.files.json_text import read_json

_MAX_BYTES, _MAX_PRICES = 1 << 20, 100
_LONGEST_NAME = 200


def read_prices(path: Path) -> dict[str, float]:
    """Price of an hour of each machine in a JSON file.

    Args:
        path: the file.

    Raises:
        ConfigError: it cannot be read, or is no object of names and prices.
    """
    found = read_json(path, _MAX_BYTES)
    if not isinstance(found, dict) or not 0 < len(found) <= _MAX_PRICES:
        raise ConfigError(f'{path}: is no table of prices such as {{"c7i.large": 0.09}}, of at most {_MAX_PRICES}')
    for name, price in found.items():
        is_number = isinstance(price, (int, float)) and not isinstance(price, bool)
        if len(name) > _LONGEST_NAME or not is_number or not (price > 0 and math.isfinite(price)):
            raise ConfigError(f"{path}: {name}: a price is a number above 0, of an hour of the machine")
    return {name: float(price) for name, price in found.items()}


def audio_hour_prices(report: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Price of an hour of audio: layer -> machine -> price, were the machine as fast as this one and always busy.

    Args:
        report: of a benchmark; without ``prices`` there are none.
    """
    prices: Mapping[str, float] = report.get("prices", {})
    speeds = {name: layer["audio_sec_per_sec"]["median"] for name, layer in report["layers"].items()}
    return {
        name: {machine: price / speed for machine, price in prices.items()}
        for name, speed in speeds.items()
        if prices and speed
    }


def price_rows(report: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The prices as rows of words, a layer each, the head first. Args as ``audio_hour_prices``."""
    machines = [*report.get("prices", {})]
    rows = [
        (plain(name), *(f"{each[machine]:.3g}" for machine in machines))
        for name, each in audio_hour_prices(report).items()
    ]
    return [("layer", *map(plain, machines)), *rows]
