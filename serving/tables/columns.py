"""Columns of the table of predictions, and the types of its rows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from emotions.bundle.manifest import EMBEDDING, UNKNOWN

Targets = Mapping[str, Sequence[str]]
"""Labels of each target, in output order."""


Row = dict[str, str | float | list[float] | None]
"""Column -> value; None for an empty one. The columns are in the table's order."""


Write = Callable[[Row], object]


Columns = dict[str, type[str] | type[float] | type[list[float]]]
"""Column -> its type, in the order of the table."""


Writer = Callable[[Path, Columns], contextlib.AbstractContextManager[Write]]


def columns(targets: Targets, *, embeddings: bool = False, unknown_targets: Iterable[str] = ()) -> Columns:
    """Columns of a table, in order, with their types; ``unknown_targets`` are the targets that may be unknown."""
    probabilities = [f"{target}.{label}" for target, labels in targets.items() for label in labels]
    return {
        "file": str,
        **dict.fromkeys(("start", "end"), float),
        **dict.fromkeys(targets, str),
        **dict.fromkeys(probabilities, float),
        **dict.fromkeys(("confidence", "duration"), float),
        **dict.fromkeys((f"{target}.{UNKNOWN}" for target in unknown_targets), str),
        **({EMBEDDING: list} if embeddings else {}),
        "error": str,
    }


AUDFORMAT = ".audformat"
"""Ending of an output that is a database."""
