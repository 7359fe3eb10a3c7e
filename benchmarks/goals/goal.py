"""A figure beside what is wanted of it, and the table of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    """A figure that was measured.

    Attributes:
        what: what was measured.
        figure: the median where there are several.
        unit: of the figure.
        wanted: what it is to be, at least or at most; None where it is only told.
        at_least: else at most.
        lowest: the smallest of several.
        highest: the largest of several.
    """

    what: str
    figure: float
    unit: str = ""
    wanted: float | None = None
    at_least: bool = False
    lowest: float | None = None
    highest: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the figure is as wanted; None where nothing is."""
        if self.wanted is None:
            return None
        return self.figure >= self.wanted if self.at_least else self.figure <= self.wanted

    @property
    def row(self) -> str:
        """A row of a Markdown table."""
        figure = _number(self.figure)
        if self.lowest is not None and self.highest is not None:
            figure += f" ({_number(self.lowest)} to {_number(self.highest)})"
        wanted = "" if self.wanted is None else f"{'at least' if self.at_least else 'at most'} {self.wanted:g}"
        met = {True: "yes", False: "**no**", None: ""}[self.met]
        return f"| {self.what} | {figure} {self.unit}".rstrip() + f" | {wanted} | {met} |"


def table(goals: Iterable[Goal]) -> Iterator[str]:
    """Lines of a Markdown table."""
    yield "| what | figure | wanted | met |"
    yield "| --- | --- | --- | --- |"
    yield from (goal.row for goal in goals)


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
