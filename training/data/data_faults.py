"""Faults of a dataset, collected and reported at once."""

from __future__ import annotations

from collections.abc import Iterable

from emotions.errors import DataError, plain

_SHOWN = 5


class Faults:
    """Faults of a dataset by kind, each with the names of the clips or rows that have it."""

    def __init__(self) -> None:
        self._kinds: dict[str, list[str]] = {}

    def add(self, kind: str, name: str) -> None:
        """Add one fault: what is wrong and how to correct it, and the clip or row that has it."""
        self._kinds.setdefault(kind, []).append(name)

    def __bool__(self) -> bool:
        return bool(self._kinds)

    def lines(self) -> list[str]:
        """One line per kind: count, kind and the first names."""
        return [f"{len(names)} x {kind}: {some(names)}" for kind, names in self._kinds.items()]

    def raise_for(self, where: str) -> None:
        """Raise the collected faults, if any, as one DataError."""
        if self._kinds:
            raise DataError("\n  ".join([f"{where}: the dataset cannot be used as it is", *self.lines()]))


def some(names: Iterable[str]) -> str:
    """The first names, printable and separated by commas, and the number of further ones."""
    every = [plain(name) for name in names]
    more = len(every) - _SHOWN
    return ", ".join(every[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
