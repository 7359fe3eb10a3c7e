"""The recordings that the models of all folds are most wrong about and most sure of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emotions.audio.decode import SAMPLE_RATE
from emotions.audio.windows import Float64Array, FloatArray, WindowSpec, window_starts
from training.data.clips import ClipTable
from training.data.split.units import units_of
from training.data.waveforms.dataset import NO_LABEL
from training.metrics.calibration import fit_temperature
from training.metrics.over_time import over_time
from training.metrics.predictions import FoldPredictions, PartPredictions, shares_of, truth_of
from training.metrics.surest_errors import surest_errors


@dataclass(frozen=True)
class Cut:
    """How the clips of an evaluation are cut into windows, which do not overlap but for the last.

    Attributes:
        samples: of each clip of the dataset, at 16 kHz.
        windows: of each fold, the samples of its model's window.
    """

    samples: Sequence[int]
    windows: Sequence[int]

    def spans(self, clip: int, fold: int) -> tuple[Float64Array, Float64Array]:
        """Seconds at which the windows of a clip start and end, (windows,) each.

        Args:
            clip: index into the dataset's clips.
            fold: whose model answers it.
        """
        samples, window = self.samples[clip], self.windows[fold]
        starts = window_starts(samples, WindowSpec(window, window))
        return starts / SAMPLE_RATE, np.minimum(starts + window, samples) / SAMPLE_RATE


def of_folds(
    table: ClipTable, predictions: Sequence[FoldPredictions], target: str, cut: Cut, *, names: bool
) -> list[dict[str, Any]]:
    """The surest errors on test clips of all folds; probabilities are calibrated, and means over the seeds.

    Args:
        table: the dataset.
        predictions: of every fold and seed.
        target: name of the target.
        cut: where the windows of the clips lie.
        names: tell the names of the recordings, and what was answered over time, too.
    """
    summed: dict[int, Any] = {}
    fitted = [(each, temperature_of(each.val, table, target)) for each in predictions]
    for each, temperature in fitted:
        found = each.test.probabilities(target, temperature)
        for clip, row in zip(each.test.clips.tolist(), found, strict=True):
            summed[clip] = summed.get(clip, 0.0) + row
    clips = np.array(sorted(summed), np.int64)
    probabilities = np.stack([summed[clip] for clip in clips.tolist()])
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    truth = truth_of(table, clips, target)
    known = truth != NO_LABEL
    return surest_errors(
        table,
        clips[known],
        truth[known],
        probabilities[known],
        table.labels(target),
        names=names,
        steps_of=lambda clip: _steps(clip, fitted, target, cut, table.clips[clip].start or 0.0),
    )


def _steps(
    clip: int, fitted: Sequence[tuple[FoldPredictions, float]], target: str, cut: Cut, begin: float
) -> list[list[float]]:
    """What the models of a clip's fold made of its windows, as ``over_time`` has it: means over the seeds."""
    own = [(each, temperature) for each, temperature in fitted if clip in each.test.clips]
    answers = [_windows_of(clip, each.test, target, temperature) for each, temperature in own]
    return over_time(*cut.spans(clip, own[0][0].fold), np.mean(answers, axis=0), begin)


def _windows_of(clip: int, part: PartPredictions, target: str, temperature: float) -> FloatArray:
    """(windows, classes) probabilities of a clip's windows, in the order of their starts."""
    (place,) = np.flatnonzero(part.clips == clip)
    found: FloatArray = part.of_windows(target, temperature)[part.windows == place]
    return found


def temperature_of(val: PartPredictions, table: ClipTable, target: str) -> float:
    """The temperature that is fitted on validation clips.

    Args:
        val: the answers to them.
        table: the dataset.
        target: name of the target.
    """
    labels = truth_of(table, val.clips, target)
    truth, at = val.labelled(target, labels)
    known = val.clips[labels != NO_LABEL]
    raters = shares_of(table, known, target)
    return fit_temperature(at, truth if raters is None else raters, units_of(table)[0][known])
