"""What became of one file of a folder."""

from __future__ import annotations

from dataclasses import dataclass, field

from emotions.audio.windows import FloatArray
from emotions.runtime.prediction import Prediction


@dataclass(frozen=True)
class FileResult:
    """A prediction, or an error's text and code; a segment has its start and end. ``embedding``: (windows, dims)."""

    name: str
    prediction: Prediction | None
    error: str | None = None
    code: str | None = None
    start: float | None = None
    end: float | None = None
    embedding: FloatArray | None = field(default=None, compare=False)
