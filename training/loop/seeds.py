"""Seeds that are derived from the seed of a run."""

from __future__ import annotations

_GOLDEN = 0x9E3779B9


def derived_seed(seed: int, number: int) -> int:
    """Seed of the random numbers of a run's epoch or step ``number``: no two of neighbouring seeds are the same."""
    return (seed * _GOLDEN + number) % (1 << 63)
