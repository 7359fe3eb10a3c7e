"""Statistics of repeats: spreads, and bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

DRAWS = 1000
LEVEL = (2.5, 97.5)
"""Percentiles of an interval of 95 %."""


def spread(values: Sequence[float]) -> dict[str, object]:
    """Median, lowest, highest, and the values themselves, which a comparison needs."""
    return {"median": median(values), "min": min(values), "max": max(values), "values": [*values]}


def ratio_interval(before: Sequence[float], after: Sequence[float], seed: int = 0) -> tuple[float, float, float]:
    """Ratio of the medians, after to before, with the bootstrap interval of 95 % over the repeats of both.

    Args:
        before: repeats of the one.
        after: repeats of the other.
        seed: of the bootstrap.
    """
    random = np.random.default_rng(seed)

    def drawn(values: Sequence[float]) -> Numbers:
        array = np.asarray(values, np.float64)
        chosen = array[random.integers(len(array), size=(DRAWS, len(array)))]
        return np.asarray(np.median(chosen, axis=1))

    low, high = np.percentile(drawn(after) / drawn(before), LEVEL).tolist()
    return median(after) / median(before), low, high
