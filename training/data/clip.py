"""One labelled piece of a recording."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from emotions.errors import plain


@dataclass(frozen=True)
class Clip:
    """One labelled piece of a recording.

    Attributes:
        file: where the recording lies; a URL where a table holds it.
        name: POSIX path relative to the dataset's folder, or absolute where the recording is elsewhere.
        start: first second of the clip in the recording; None means its beginning.
        end: last second of the clip; None means the recording's end.
        labels: target to label, only the targets that the clip has.
        recording: name of the recording that the clip was cut from.
        split: the part of a predefined split, as the dataset writes it.
        columns: every other column of the dataset.
        shares: target to the share of the raters that gave each label, above 0 and together 1; only the targets with
            known distributions. The label in ``labels`` is then that of ``ratings.majorities``.
        raters: target to how many raters there were; only where that is known.
        values: target of dimensions to its values on the target's range, NaN where one is missing; only the targets
            that the clip has a value of.
    """

    file: Path | str
    name: str
    start: float | None
    end: float | None
    labels: Mapping[str, str]
    speaker: str | None
    recording: str
    split: str | None
    columns: Mapping[str, str]
    values: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    shares: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    raters: Mapping[str, int] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """Unique key of the clip in its dataset, as ASCII text."""
        return json.dumps([self.name, self.start, self.end])

    def __str__(self) -> str:
        """The name, printable, with the clip's times where it is a part of a recording."""
        times = "" if self.start is None and self.end is None else f" [{self.start or 0:g}-{self.end or '...'} s]"
        return plain(self.name) + times
