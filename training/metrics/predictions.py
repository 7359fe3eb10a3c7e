"""Predictions of a fold: logits on the clips that its model was not trained on, kept as one file."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from emotions.audio.windows import Float64Array, FloatArray, IntArray, pool
from emotions.files.atomic import write_bytes
from emotions.files.content import UNREADABLE_ARRAYS
from training.data.clips import ClipTable
from training.data.waveforms.dataset import NO_LABEL

_FORMAT = 2  # 1 had no weights: every window counted once
_ABOUT = "about"
_PARTS = ("val", "test")
_ALTERED = "altered."


@dataclass(frozen=True)
class PartPredictions:
    """Logits of a model for the windows of one part.

    Attributes:
        clips: (clips,) int64: indices into the dataset's clips.
        windows: (windows,) int64: index into ``clips`` of each window.
        logits: target -> (windows, classes) float32.
        weights: (windows,) float64, weight of each window in its clip; None where all count equally.
    """

    clips: IntArray
    windows: IntArray
    logits: Mapping[str, FloatArray]
    weights: Float64Array | None = field(default=None, kw_only=True)

    def of_windows(self, target: str, temperature: float = 1.0) -> FloatArray:
        """Probabilities of each window, (windows, classes) float32.

        Args:
            target: name of the target.
            temperature: divisor of the logits.
        """
        scaled = self.logits[target].astype(np.float64) / temperature
        exponents = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        softmax: FloatArray = (exponents / exponents.sum(axis=1, keepdims=True)).astype(np.float32)
        return softmax

    def probabilities(self, target: str, temperature: float = 1.0) -> FloatArray:
        """Pool windows into clips, as a bundle does: (clips, classes) float32. Arguments as ``of_windows``."""
        softmax = self.of_windows(target, temperature)
        of_clip = [self.windows == clip for clip in range(len(self.clips))]
        weights = np.ones(len(self.windows)) if self.weights is None else self.weights
        return np.stack([pool(softmax[rows], weights[rows]) for rows in of_clip])

    def outputs(self, target: str) -> FloatArray:
        """Pool windows into clips without a softmax, (clips, outputs) float32, kept in -1 to 1: of dimensions."""
        kept = np.clip(self.logits[target], -1, 1)
        weights = np.ones(len(self.windows)) if self.weights is None else self.weights
        of_clip = [self.windows == clip for clip in range(len(self.clips))]
        return np.stack([pool(kept[rows], weights[rows]) for rows in of_clip])

    def labelled(self, target: str, truth: IntArray) -> tuple[IntArray, Callable[[float], FloatArray]]:
        """Truth and probabilities of the clips that have a label.

        Args:
            target: name of the target.
            truth: (clips,) class indices, ``NO_LABEL`` where a clip has none.

        Returns:
            (labelled clips,) class indices, and a function from temperature to (labelled clips, classes) probabilities.
        """
        known = truth != NO_LABEL
        return truth[known], lambda temperature: self.probabilities(target, temperature)[known]


NOTHING = PartPredictions(np.zeros(0, np.int64), np.zeros(0, np.int64), {})
"""Predictions for a part without clips."""


def joined(parts: Sequence[PartPredictions]) -> PartPredictions:
    """Predictions for the clips of several parts, which share none, in the order of the clips."""
    order = np.argsort(np.concatenate([part.clips for part in parts]), kind="stable")
    place = np.argsort(order, kind="stable")  # of each clip among all
    before = np.cumsum([0, *(len(part.clips) for part in parts[:-1])])
    windows = np.concatenate([place[part.windows + first] for part, first in zip(parts, before, strict=True)])
    rows = np.argsort(windows, kind="stable")
    weights = [np.ones(len(part.windows)) if part.weights is None else part.weights for part in parts]
    logits = {name: np.concatenate([part.logits[name] for part in parts])[rows] for name in parts[0].logits}
    clips = np.concatenate([part.clips for part in parts])[order]
    return PartPredictions(clips, windows[rows], logits, weights=np.concatenate(weights)[rows])


@dataclass(frozen=True)
class FoldPredictions:
    """Predictions of one fold with one seed.

    Attributes:
        best_epoch: epoch of the checkpoint that was used, from 0.
        seconds: duration of training and prediction.
        val, test: predictions for its validation clips, perhaps none, and its test clips.
        altered: target -> (tests, clips, classes) probabilities of the test clips through every test of the robustness
            suite, where it was asked for.
    """

    fold: int
    seed: int
    best_epoch: int
    seconds: float
    val: PartPredictions
    test: PartPredictions
    altered: Mapping[str, FloatArray] = field(default_factory=dict, kw_only=True)

    def write(self, path: Path) -> None:
        """Write an NPZ file atomically."""
        about = {"format": _FORMAT, **{name: getattr(self, name) for name in ("fold", "seed", "best_epoch", "seconds")}}
        arrays: dict[str, Any] = {_ABOUT: np.array(json.dumps(about))}
        for name in _PARTS:
            part: PartPredictions = getattr(self, name)
            weights = np.ones(len(part.windows)) if part.weights is None else part.weights
            arrays |= {f"{name}.clips": part.clips, f"{name}.windows": part.windows, f"{name}.weights": weights}
            arrays |= {f"{name}.logits.{target}": values for target, values in part.logits.items()}
        arrays |= {f"{_ALTERED}{target}": values for target, values in self.altered.items()}
        content = io.BytesIO()
        np.savez(content, **arrays)
        write_bytes(path, content.getvalue())


def truth_of(table: ClipTable, clips: IntArray, target: str) -> IntArray:
    """Positions of some clips' labels in ``table.labels(target)``, (clips,) int64, ``NO_LABEL`` where there is none.

    Args:
        table: the dataset.
        clips: (clips,) indices into the dataset's clips.
        target: name of the target.
    """
    index = {label: number for number, label in enumerate(table.labels(target))}
    return np.array([index.get(table.clips[clip].labels.get(target, ""), NO_LABEL) for clip in clips], np.int64)


def shares_of(table: ClipTable, clips: IntArray, target: str) -> FloatArray | None:
    """Shares of the raters of some clips, (clips, labels) float32, in the order of ``table.labels(target)``.

    Args:
        table: the dataset.
        clips: (clips,) indices into the dataset's clips, all of them labelled.
        target: name of the target.

    Returns:
        None of a target whose distributions are not known.
    """
    if target not in table.soft:
        return None
    labels, every = table.labels(target), [table.clips[clip] for clip in clips]
    known = [clip.shares.get(target, {clip.labels[target]: 1.0}) for clip in every]
    return np.array([[each.get(label, 0.0) for label in labels] for each in known], np.float32).reshape(-1, len(labels))


def read_predictions(path: Path) -> FoldPredictions | None:
    """Read a fold's predictions; None where the file is missing or damaged, so that the fold is trained again."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            about = json.loads(str(arrays[_ABOUT]))
            if about.pop("format") != _FORMAT:
                return None
            altered = {name.removeprefix(_ALTERED): arrays[name] for name in arrays.files if name.startswith(_ALTERED)}
            return FoldPredictions(**about, val=_part(arrays, "val"), test=_part(arrays, "test"), altered=altered)
    except UNREADABLE_ARRAYS:
        return None


def _part(arrays: Any, name: str) -> PartPredictions:
    prefix = f"{name}.logits."
    logits = {key.removeprefix(prefix): arrays[key] for key in arrays.files if key.startswith(prefix)}
    return PartPredictions(
        arrays[f"{name}.clips"], arrays[f"{name}.windows"], logits, weights=arrays[f"{name}.weights"]
    )
