"""Values of a clip for targets of dimensions: numbers of its columns, on the range of the target."""

from __future__ import annotations

import math
from collections.abc import Mapping

from training.config.targets import DimensionsTarget
from training.data.data_faults import Faults

_NO_NUMBER = "has a value of a dimension that is not a finite number"
_ROUNDING = 1e-6
"""Share of a scale by which a value may leave it: ends are rounded in tables."""


def values_of(
    columns: Mapping[str, str], targets: Mapping[str, DimensionsTarget], name: str, faults: Faults
) -> dict[str, tuple[float, ...]]:
    """The values of each target that has any, NaN where one is missing.

    Args:
        columns: the clip's columns.
        targets: the targets of dimensions.
        name: of the clip, for faults.
        faults: takes values that are no finite number, or outside their scale; these count as missing.
    """
    found = {
        target: tuple(_value(columns.get(column, ""), column, about, name, faults) for column in about.dimensions)
        for target, about in targets.items()
    }
    return {target: values for target, values in found.items() if not all(map(math.isnan, values))}


def _value(text: str, column: str, about: DimensionsTarget, name: str, faults: Faults) -> float:
    if text.strip().lower() in ("", "nan"):
        return math.nan
    try:
        number = float(text)
    except ValueError:
        number = math.inf
    if not math.isfinite(number):
        faults.add(f"{_NO_NUMBER} (column {column!r})", name)
        return math.nan
    low, high = about.columns_scale
    if not low - _ROUNDING * (high - low) <= number <= high + _ROUNDING * (high - low):
        faults.add(
            f"has a value outside {low:g} to {high:g} (column {column!r}; give its scale in dataset.targets)", name
        )
        return math.nan
    return about.mapped(min(max(number, low), high))
