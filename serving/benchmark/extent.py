"""How long and how often a scenario runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Extent:
    """``seconds`` of each run, ``repeats`` of it, ``seed`` of arrivals."""

    seconds: float
    repeats: int
    seed: int

    def seeds(self, scenario: int) -> list[int]:
        """A seed for each repeat, none shared with another scenario."""
        return [1000 * self.seed + 100 * scenario + repeat for repeat in range(self.repeats)]
