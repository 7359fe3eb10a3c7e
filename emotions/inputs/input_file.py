"""A recording to classify: where it lies, and its name in the table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

STANDARD_INPUT = "-"
"""An input that stands for a list of paths on standard input."""

_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class InputFile:
    """A recording to classify, a segment of one, or what one participant says in it.

    Attributes:
        source: where it lies, a path or a URL.
        name: its name in the table: relative to the input folder (POSIX), or as a list writes it.
        start: first second of the segment; None for the beginning.
        end: last second of the segment; None for the end.
        stamp: version of a URL's content, as far as its storage gives one.
        channel: the one to read, from 1; None for the mean of all.
        speaker: name of the participant; empty where a recording is not divided.
        turns: start and end, in seconds, of all that the participant says, in order; None where that is not known.
    """

    source: Path | str
    name: str
    start: float | None = None
    end: float | None = None
    stamp: str = ""
    channel: int | None = None
    speaker: str = ""
    turns: tuple[tuple[float, float], ...] | None = None

    @property
    def path(self) -> Path:
        """Where a file that is not remote lies."""
        return Path(self.source)

    def is_other_participant(self, file: InputFile) -> bool:
        """Whether this is what another participant says in the recording that a file is, too.

        Args:
            file: the one before this in a list.
        """
        same = (self.source, self.start, self.end) == (file.source, file.start, file.end)
        return same and bool(self.speaker) and self.speaker != file.speaker


def is_url(source: Path | str) -> bool:
    """Whether a source is a URL, as ``s3://bucket/clips``."""
    return isinstance(source, str) and _URL.match(source) is not None
