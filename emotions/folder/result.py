"""What became of one file of a folder."""

from __future__ import annotations

from dataclasses import dataclass, field

from emotions.audio.windows import FloatArray
from emotions.inputs.input_file import InputFile
from emotions.runtime.prediction import Prediction


@dataclass(frozen=True)
class FileResult:
    """What became of one file.

    Attributes:
        name: of the file.
        prediction: None where it failed.
        error: why it failed, and the error's ``code``.
        start: first second of a segment, and its last, ``end``.
        embedding: (windows, dims).
        channel: that was read, from 1; None for the mean of all.
        speaker: name of the participant on it.
    """

    name: str
    prediction: Prediction | None
    error: str | None = None
    code: str | None = None
    start: float | None = None
    end: float | None = None
    embedding: FloatArray | None = field(default=None, compare=False)
    channel: int | None = None
    speaker: str = ""

    @classmethod
    def of(
        cls, file: InputFile, prediction: Prediction | None, error: str | None = None, code: str | None = None
    ) -> FileResult:
        """The result of a file.

        Args:
            file: what was to be classified.
            prediction: None where it failed.
            error: why.
            code: the error's.
        """
        return cls(file.name, prediction, error, code, file.start, file.end, channel=file.channel, speaker=file.speaker)
