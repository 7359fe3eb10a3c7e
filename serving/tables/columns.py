"""Columns of the table of predictions, and the types of its rows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from emotions.bundle.manifest import EMBEDDING, UNKNOWN

AUDFORMAT = ".audformat"
"""Ending of an output that is a database."""
WARNING = "warning"
"""Column that tables have since 0.2."""
Targets = Mapping[str, Sequence[str]]
"""Labels of each target, in output order."""
Row = dict[str, str | float | list[float] | None]
"""Column -> value, None for an empty one, in the order of the table."""
Columns = dict[str, type[str] | type[float] | type[list[float]]]
"""Column -> its type, in the order of the table."""
Write = Callable[[Row], object]
"""Writes one row."""
Writer = Callable[[Path, Columns], contextlib.AbstractContextManager[Write]]
"""Opens a file to write rows to."""


def columns(
    targets: Targets,
    *,
    embeddings: bool = False,
    unknown_targets: Iterable[str] = (),
    dimensional: Collection[str] = (),
) -> Columns:
    """Columns of a table.

    Args:
        targets: labels or dimensions of each target.
        embeddings: whether there is a column of embeddings.
        unknown_targets: targets that have a threshold, below which a label is unknown.
        dimensional: the targets of dimensions, which have no label.
    """
    probabilities = [f"{target}.{label}" for target, labels in targets.items() for label in labels]
    return {
        "file": str,
        **dict.fromkeys(("start", "end"), float),
        **{target: str for target in targets if target not in dimensional},
        **dict.fromkeys(probabilities, float),
        **dict.fromkeys(("confidence", "duration"), float),
        **dict.fromkeys((f"{target}.{UNKNOWN}" for target in unknown_targets), str),
        **({EMBEDDING: list} if embeddings else {}),
        WARNING: str,
        "error": str,
    }
