"""Held-out answers of a target: how sure a model was of clips that it was not trained on, and whether it was right.

They are kept in ``run.json`` and ``report.json``, without a name: a threshold for a risk is chosen on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from emotions.audio.windows import Float64Array, FloatArray, IntArray
from emotions.errors import ConfigError

_DIGITS = 6
_MAX_CLIPS = 10_000_000


@dataclass(frozen=True)
class HeldOut:
    """Answers to clips that the model was not trained on.

    Attributes:
        confidence: (clips,) calibrated probability of the label that the model named.
        wrong: (clips,) whether that was another label than the truth.
        speakers: (clips,) index of the speaker, or of the unit in its place.
        unit: kind of the unit: ``speaker``, ``recording``.
        part: what the clips are, in words: ``test clips``, ``test clips of all folds``.
    """

    confidence: Float64Array
    wrong: Float64Array
    speakers: IntArray
    unit: str
    part: str

    @classmethod
    def of(cls, probabilities: FloatArray, truth: IntArray, speakers: IntArray, unit: str, part: str) -> Self:
        """The answers of (clips, classes) calibrated probabilities. Args as the attributes; truth (clips,) indices."""
        wrong = (probabilities.argmax(axis=1) != truth).astype(np.float64)
        confidence = np.round(probabilities.max(axis=1).astype(np.float64), _DIGITS)
        return cls(confidence, wrong, _numbered(speakers), unit, part)

    def __len__(self) -> int:
        return len(self.confidence)

    @property
    def count(self) -> int:
        """How many speakers there are."""
        return len(np.unique(self.speakers))

    def select(self, clips: Any) -> HeldOut:
        """The answers to some of the clips."""
        some = _numbered(self.speakers[clips])
        return HeldOut(self.confidence[clips], self.wrong[clips], some, self.unit, self.part)

    def summary(self) -> dict[str, Any]:
        """The answers as JSON."""
        return {
            "part": self.part,
            "unit": self.unit,
            "confidence": self.confidence.tolist(),
            "wrong": self.wrong.astype(int).tolist(),
            "speakers": self.speakers.tolist(),
        }


def read_held_out(content: Any, where: str) -> HeldOut | None:
    """Answers as ``HeldOut.summary`` wrote them; None where there are none, as in what older releases wrote.

    Args:
        content: the JSON.
        where: what it is from, for a message; ConfigError where it is damaged.
    """
    if content is None:
        return None
    try:
        return _read(content)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ConfigError(f"{where}: its held-out answers are damaged ({error})") from error


def _read(content: Mapping[str, Any]) -> HeldOut:
    names = ("confidence", "wrong", "speakers")
    confidence, wrong, speakers = (np.asarray(content[name], np.float64) for name in names)
    if not confidence.shape == wrong.shape == speakers.shape == (len(confidence),) or len(confidence) > _MAX_CLIPS:
        raise ValueError("they are not one of each for every clip")
    known = ((confidence >= 0) & (confidence <= 1) & np.isin(wrong, (0, 1)) & np.isfinite(speakers)).all()
    if not known:
        raise ValueError("a confidence is not between 0 and 1, or a clip neither right nor wrong")
    return HeldOut(confidence, wrong, _numbered(speakers), str(content["unit"]), str(content["part"]))


def _numbered(units: Any) -> IntArray:
    return np.unique(units, return_inverse=True)[1].reshape(-1).astype(np.int64)
