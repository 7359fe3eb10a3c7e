"""A recording over time: its level, and the probabilities of its windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from emotions.audio.decode import SAMPLE_RATE, ReadOptions
from emotions.audio.decoders.read import open_waveform
from emotions.audio.windows import FloatArray, IntArray
from emotions.folder.windows_of_file import content_of
from emotions.inputs.input_file import InputFile
from emotions.runtime.prediction import Prediction


@dataclass(frozen=True)
class Timeline:
    """Equal pieces of a recording.

    Attributes:
        duration_sec: seconds from the first to the last piece.
        level: (pieces,) the highest absolute sample of each, at most 1.
        probabilities: target -> label -> (pieces,), the mean of the windows that cover the middle of each; NaN where
            only speech was classified and there is none.
        values: target -> dimension -> (pieces,), likewise.
    """

    duration_sec: float
    level: FloatArray
    probabilities: Mapping[str, Mapping[str, FloatArray]]
    values: Mapping[str, Mapping[str, FloatArray]] = field(default_factory=dict)


def timeline(file: InputFile, prediction: Prediction, pieces: int) -> Timeline:
    """Cut a recording that was classified into pieces.

    Args:
        file: the recording or segment; it is decoded once more, part by part.
        prediction: its windows are used.
        pieces: how many.

    Raises:
        AudioError, OSError: it cannot be read any more.
    """
    duration, windows = prediction.duration_sec, prediction.windows
    middles = (np.arange(pieces) + 0.5) * duration / pieces
    starts, ends = (np.array([getattr(each, name) for each in windows]) for name in ("start", "end"))
    first, behind = np.searchsorted(middles, starts), np.searchsorted(middles, ends)
    covering = _running_sum(first, behind, np.ones(len(windows)), pieces)
    silent = _between_segments(prediction, middles)
    # A piece between two windows takes the one whose middle is nearest.
    nearest = _nearest((starts + ends) / 2, middles)

    def mean(values: Sequence[float]) -> FloatArray:
        every = np.array(values, np.float64)
        covered = _running_sum(first, behind, every, pieces) / np.maximum(covering, 1)
        return np.where(silent, np.nan, np.where(covering > 0, covered, every[nearest])).astype(np.float32)

    def means(name: str, targets: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, FloatArray]]:
        return {
            target: {column: mean([getattr(each, name)[target][column] for each in windows]) for column in answers}
            for target, answers in targets.items()
        }

    return Timeline(
        duration,
        level(file, round(duration * SAMPLE_RATE), pieces),
        means("probabilities", prediction.probabilities),
        means("values", prediction.values),
    )


def _between_segments(prediction: Prediction, middles: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Whether each piece lies outside all speech, (pieces,); false where all of a recording was classified."""
    segments = prediction.segments
    first, behind = (np.searchsorted(middles, [getattr(each, edge) for each in segments]) for edge in ("start", "end"))
    # A segment between two middles is shown in the piece before it, so that none is lost.
    inside = _running_sum(first, np.maximum(behind, first + 1), np.ones(len(segments)), len(middles) + 1)[:-1]
    return np.asarray((inside == 0) & bool(segments))


def _running_sum(first: IntArray, behind: IntArray, values: npt.NDArray[np.float64], pieces: int) -> Any:
    """The sum at each piece of the values whose windows cover it, (pieces,): a day has 50,000 windows."""
    steps = np.zeros(pieces + 1)
    np.add.at(steps, first, values)
    np.subtract.at(steps, behind, values)
    return np.round(np.cumsum(steps[:-1]), 9)


def _nearest(sorted_values: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64]) -> IntArray:
    """Index of the value that is nearest to each wanted one."""
    between = (sorted_values[1:] + sorted_values[:-1]) / 2
    found: IntArray = np.searchsorted(between, wanted)
    return found


def level(file: InputFile, samples: int, pieces: int) -> FloatArray:
    """The highest absolute sample of each piece of a recording, (pieces,), at most 1.

    Args:
        file: the recording or segment; it is decoded.
        samples: that it has at 16 kHz.
        pieces: how many.

    Raises:
        AudioError, OSError: it cannot be read any more.
    """
    peaks = np.zeros(pieces, np.float32)
    position = 0
    options = ReadOptions(start=file.start, end=file.end, channel=file.channel)
    with open_waveform(content_of(file), options) as stream:
        for block in filter(len, stream.blocks):
            piece = np.minimum((position + np.arange(len(block))) * pieces // max(samples, 1), pieces - 1)
            firsts = np.flatnonzero(np.diff(piece, prepend=-1))
            highest = np.maximum.reduceat(np.abs(block), firsts)
            peaks[piece[firsts]] = np.maximum(peaks[piece[firsts]], highest)
            position += len(block)
    return np.minimum(peaks, 1)
