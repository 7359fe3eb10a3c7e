"""Columns of the table of predictions, and the types of its rows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from emotions.audio.speech.windows import Segments
from emotions.bundle.manifest import EMBEDDING, UNKNOWN
from emotions.errors import ConfigError

Columns = dict[str, type[str] | type[int] | type[float] | type[list[float]]]
"""Column -> its type, in the order of the table."""
AUDFORMAT = ".audformat"
"""Ending of an output that is a database."""
WARNING = "warning"
"""Column that tables have since 0.2."""
SPEECH = ("speech.duration", "speech.start", "speech.end")
"""Columns of tables of speech: seconds of it in the recording, and where a window's segment begins and ends."""
PARTICIPANT: Columns = {"channel": int, "speaker": str}
"""Columns of tables in which each participant of a recording has rows."""
Targets = Mapping[str, Sequence[str]]
"""Labels of each target, in output order."""
Row = dict[str, str | float | list[float] | None]
"""Column -> value, None for an empty one, in the order of the table."""
Write = Callable[[Row], object]
"""Writes one row."""
Writer = Callable[[Path, Columns], contextlib.AbstractContextManager[Write]]
"""Opens a file to write rows to."""
_NONE: Columns = {}


def columns(
    targets: Targets,
    *,
    embeddings: bool = False,
    unknown_targets: Iterable[str] = (),
    dimensional: Collection[str] = (),
    segments: Segments = "windows",
    participants: Columns = _NONE,
) -> Columns:
    """Columns of a table.

    Args:
        targets: labels or dimensions of each target.
        embeddings: whether there is a column of embeddings.
        unknown_targets: targets that have a threshold, below which a label is unknown.
        dimensional: the targets of dimensions, which have no label.
        segments: whether there are columns of speech.
        participants: those of ``PARTICIPANT``, where each participant has rows.

    Raises:
        ConfigError: a target has the name of such a column.
    """
    if clashing := [target for target in targets if target in participants]:
        raise ConfigError(
            f"the bundle's target {clashing[0]!r} has the name of a column of participants: give --channels mix"
        )
    probabilities = [f"{target}.{label}" for target, labels in targets.items() for label in labels]
    return {
        "file": str,
        **dict.fromkeys(("start", "end"), float),
        **participants,
        **{target: str for target in targets if target not in dimensional},
        **dict.fromkeys(probabilities, float),
        **dict.fromkeys(("confidence", "duration"), float),
        **(dict.fromkeys(SPEECH, float) if segments == "speech" else {}),
        **dict.fromkeys((f"{target}.{UNKNOWN}" for target in unknown_targets), str),
        **({EMBEDDING: list} if embeddings else {}),
        WARNING: str,
        "error": str,
    }
