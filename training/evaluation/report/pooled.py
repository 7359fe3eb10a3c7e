"""Predictions for the test clips of all folds, before and after each fold's calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from emotions.audio.windows import FloatArray, IntArray
from training.data.clips import ClipTable
from training.data.waveforms.dataset import NO_LABEL
from training.evaluation.report.fold_errors import temperature_of
from training.metrics.predictions import FoldPredictions, truth_of


@dataclass(frozen=True)
class Pooled:
    """Predictions for the labelled test clips of all folds; each fold is calibrated on its own validation clips.

    Attributes:
        clips, folds: (clips,) index and fold of each.
        before, after: (seeds, clips, classes) probabilities before and after calibration.
    """

    clips: IntArray
    folds: IntArray
    before: FloatArray
    after: FloatArray

    @classmethod
    def of(cls, table: ClipTable, predictions: Sequence[FoldPredictions], target: str) -> Self:
        """Pool predictions of every fold and seed.

        Args:
            table: the dataset.
            predictions: at least one fold's; all seeds have the same folds.
            target: name of the target.
        """
        clips, folds = np.zeros(0, np.int64), np.zeros(0, np.int64)
        before, after = [], []
        for seed in sorted({each.seed for each in predictions}):
            found = [each for each in predictions if each.seed == seed]
            clips = np.concatenate([each.test.clips for each in found])  # the same for every seed
            folds = np.concatenate([np.full(len(each.test.clips), each.fold) for each in found])
            fitted = [(each.test, temperature_of(each.val, table, target)) for each in found]
            before.append(np.concatenate([test.probabilities(target) for test, _ in fitted]))
            after.append(np.concatenate([test.probabilities(target, temperature) for test, temperature in fitted]))
        known = truth_of(table, clips, target) != NO_LABEL
        return cls(clips[known], folds[known], np.stack(before)[:, known], np.stack(after)[:, known])

    def select(self, chosen: IntArray) -> Pooled:
        """The predictions for some of the clips, told by their place."""
        return Pooled(self.clips[chosen], self.folds[chosen], self.before[:, chosen], self.after[:, chosen])
