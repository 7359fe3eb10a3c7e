"""Faults: everything wrong in a dataset, gathered and told at once."""

from __future__ import annotations

from collections.abc import Iterable

from emotions.errors import DataError

_SHOWN = 5


class Faults:
    """What is wrong in a dataset: kinds of fault, each with the clips or rows that have it."""

    def __init__(self) -> None:
        self._kinds: dict[str, list[str]] = {}

    def add(self, kind: str, name: str) -> None:
        """Note one fault; ``kind`` says what is wrong and how to mend it, ``name`` says where."""
        self._kinds.setdefault(kind, []).append(name)

    def __bool__(self) -> bool:
        return bool(self._kinds)

    def lines(self) -> list[str]:
        """One line a kind: how many, what, and the first names."""
        return [f"{len(names)} x {kind}: {some(names)}" for kind, names in self._kinds.items()]

    def raise_for(self, where: str) -> None:
        """Raise what was gathered.

        Raises:
            DataError: there is at least one fault.
        """
        if self._kinds:
            raise DataError("\n".join([f"{where}: the dataset cannot be used as it is", *self._indented()]))

    def _indented(self) -> list[str]:
        return [f"  {line}" for line in self.lines()]


def some(names: Iterable[str], shown: int = _SHOWN) -> str:
    """The first names, printable, and how many more there are."""
    every = [printable(name) for name in names]
    more = len(every) - shown
    return ", ".join(every[:shown]) + (f" and {more} more" if more > 0 else "")


def printable(name: str) -> str:
    """A name as it is, or escaped where it holds line breaks, control characters or bytes that are not text."""
    return name if name.isprintable() else repr(name)
