"""A recording over time: its level, and the probabilities of its windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from emotions.audio.decode import SAMPLE_RATE, ReadOptions
from emotions.audio.decoders.read import open_waveform
from emotions.audio.windows import FloatArray
from emotions.folder.windows_of_file import content_of
from emotions.inputs.input_file import InputFile
from emotions.runtime.prediction import Prediction


@dataclass(frozen=True)
class Timeline:
    """Equal pieces of a recording.

    Attributes:
        duration_sec: seconds from the first to the last piece.
        level: (pieces,) the highest absolute sample of each, at most 1.
        probabilities: target -> label -> (pieces,), the mean of the windows that cover the middle of each.
    """

    duration_sec: float
    level: FloatArray
    probabilities: Mapping[str, Mapping[str, FloatArray]]


def timeline(file: InputFile, prediction: Prediction, pieces: int) -> Timeline:
    """Cut a recording that was classified into pieces.

    Args:
        file: the recording or segment; it is decoded once more, part by part.
        prediction: its windows are used.
        pieces: how many.

    Raises:
        AudioError, OSError: it cannot be read any more.
    """
    duration = prediction.duration_sec
    windows = prediction.windows
    middles = (np.arange(pieces) + 0.5) * duration / pieces
    starts, ends = (np.array([getattr(each, name) for each in windows]) for name in ("start", "end"))
    covers = (starts <= middles[:, None]) & (middles[:, None] < ends)
    # A piece between two windows takes the nearest one.
    lonely = ~covers.any(1)
    covers[lonely, np.abs(middles[lonely, None] - (starts + ends) / 2).argmin(1)] = True
    share = (covers / covers.sum(1, keepdims=True)).astype(np.float32)
    probabilities = {
        target: {
            label: share @ np.array([each.probabilities[target][label] for each in windows], np.float32)
            for label in scores
        }
        for target, scores in prediction.probabilities.items()
    }
    return Timeline(duration, _level(file, round(duration * SAMPLE_RATE), pieces), probabilities)


def _level(file: InputFile, samples: int, pieces: int) -> FloatArray:
    """The highest absolute sample of each piece, (pieces,)."""
    peaks = np.zeros(pieces, np.float32)
    position = 0
    with open_waveform(content_of(file), ReadOptions(False, file.start, file.end)) as stream:
        for block in filter(len, stream.blocks):
            piece = np.minimum((position + np.arange(len(block))) * pieces // max(samples, 1), pieces - 1)
            firsts = np.flatnonzero(np.diff(piece, prepend=-1))
            highest = np.maximum.reduceat(np.abs(block), firsts)
            peaks[piece[firsts]] = np.maximum(peaks[piece[firsts]], highest)
            position += len(block)
    return np.minimum(peaks, 1)
