"""What is looked at of one clip: its answers, its length, its sound and its embedding."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from emotions.audio.signal_measure import Signal
from emotions.audio.windows import Float64Array, FloatArray
from emotions.bundle.manifest import EMBEDDING

ANSWERS: Final = "answers"
"""The space of the logarithms of all probabilities, and of the values of dimensions, which every bundle has."""
SPACES = (EMBEDDING, ANSWERS)
_LEAST = 1e-4  # a probability below is as good as none: its logarithm would decide the mean

Scores = Mapping[str, Mapping[str, float]]
"""Target -> label -> probability, or dimension -> value."""


@dataclass(frozen=True)
class Observation:
    """One clip.

    Attributes:
        probabilities: of the targets with labels.
        values: of the targets of dimensions.
        duration_sec: seconds of audio.
        signal: what it sounds like; None where nobody listened.
        embedding: (dims,) mean over its windows; None where there is none.
    """

    probabilities: Scores
    values: Scores = field(default_factory=dict)
    duration_sec: float | None = None
    signal: Signal | None = None
    embedding: FloatArray | None = None

    @property
    def labels(self) -> dict[str, str]:
        """The most probable label of each target."""
        return {target: max(scores, key=scores.__getitem__) for target, scores in self.probabilities.items()}

    @property
    def confidence(self) -> dict[str, float]:
        """The probability of each target's label."""
        return {target: max(scores.values()) for target, scores in self.probabilities.items()}

    @property
    def figures(self) -> dict[str, float]:
        """Every figure that a histogram is kept of, by its name; what is not known is left out."""
        found = {f"confidence.{target}": confidence for target, confidence in self.confidence.items()}
        found |= {f"{target}.{name}": value for target, named in self.values.items() for name, value in named.items()}
        if self.duration_sec is not None:
            found["duration"] = self.duration_sec
        if self.signal is not None:
            found |= {"level": self.signal.level_dbfs, "signal_to_noise": self.signal.snr_db}
            found["bandwidth"] = self.signal.bandwidth_hz
        return {name: figure for name, figure in found.items() if math.isfinite(figure)}

    def point(self, space: str) -> Float64Array | None:
        """Where it lies in a space of ``SPACES``, (dims,); None where that is not known."""
        if space == EMBEDDING:
            return None if self.embedding is None else self.embedding.astype(np.float64)
        probabilities = [score for scores in self.probabilities.values() for score in scores.values()]
        values = [score for scores in self.values.values() for score in scores.values()]
        return np.array([*np.log(np.maximum(probabilities, _LEAST)), *values], np.float64)
