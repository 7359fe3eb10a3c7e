"""Targets of a bundle as its manifest writes them, from format version 2 on: of labels, or of dimensions.

    "targets": {"emotion": {"labels": ["anger", "joy"]}, "affect": {"dimensions": ["arousal"], "range": [0, 1]}}

Format version 1 has ``{"emotion": ["anger", "joy"]}`` and knows labels alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

Range = tuple[float, float]
"""Lowest and highest value of a scale."""

MAX_RANGE = 1e6
"""Largest bound of a range: beyond, float32 has no digits for what is between."""
_LABELS, _DIMENSIONS = {"labels"}, {"dimensions", "range"}


def read_targets(written: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The names of each target's outputs, and the range of each target of dimensions, which are not checked yet.

    Args:
        written: as format version 2 has them.

    Raises:
        ValueError: a target has neither labels nor dimensions with a range, or both, or other keys.
    """
    if not isinstance(written, dict):
        raise ValueError("targets is not an object")
    for target, about in written.items():
        if not isinstance(about, dict) or about.keys() not in (_LABELS, _DIMENSIONS):
            raise ValueError(f'target {target[:100]!r} has not either "labels", or "dimensions" and "range"')
    names = {target: about.get("labels", about.get("dimensions")) for target, about in written.items()}
    return names, {target: about["range"] for target, about in written.items() if "range" in about}


def written_targets(names: Mapping[str, Any], ranges: Mapping[str, Any]) -> dict[str, Any]:
    """Targets as format version 2 has them; the reverse of ``read_targets``."""
    return {
        target: {"dimensions": outputs, "range": [*ranges[target]]} if target in ranges else {"labels": outputs}
        for target, outputs in names.items()
    }


def check_range(target: str, bounds: Range) -> None:
    """Refuse, with a ValueError, what is not a range of numbers.

    Args:
        target: whose range it is.
        bounds: lowest and highest value.
    """
    low, high = bounds
    if not (math.isfinite(low) and math.isfinite(high) and low < high and max(-low, high) <= MAX_RANGE):
        raise ValueError(f"the range of {target!r} is {low:g} to {high:g}, must ascend within {MAX_RANGE:g}")
