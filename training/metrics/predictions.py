"""Answers of a fold: what its model said of the clips that it was not trained on, kept as one file."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emotions.audio.windows import FloatArray, IntArray, pool
from emotions.files import write_bytes
from training.data.clips import ClipTable

_FORMAT = 1
_ABOUT = "about"
_PARTS = ("val", "test")


@dataclass(frozen=True)
class PartAnswers:
    """What a model said of one part's windows.

    Attributes:
        clips: (clips,) int64: which clips of the dataset.
        windows: (windows,) int64: which of ``clips`` each window is of.
        logits: target -> (windows, classes) float32.
    """

    clips: IntArray
    windows: IntArray
    logits: Mapping[str, FloatArray]

    def probabilities(self, target: str, temperature: float = 1.0) -> FloatArray:
        """(clips, classes) float32: the mean over each clip's windows, as every reader of a bundle pools them."""
        scaled = self.logits[target].astype(np.float64) / temperature
        exponents = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        softmax = (exponents / exponents.sum(axis=1, keepdims=True)).astype(np.float32)
        return np.stack([pool(softmax[self.windows == clip]) for clip in range(len(self.clips))])


@dataclass(frozen=True)
class FoldAnswers:
    """What came of one fold with one seed.

    Attributes:
        fold: which fold, from 0.
        seed: the seed of its training.
        best_epoch: the epoch, from 0, that the model was taken after.
        seconds: how long it took.
        val, test: answers on its validation and its test clips.
    """

    fold: int
    seed: int
    best_epoch: int
    seconds: float
    val: PartAnswers
    test: PartAnswers

    def write(self, path: Path) -> None:
        """Write them, whole or not at all."""
        about = {"format": _FORMAT, **{name: getattr(self, name) for name in ("fold", "seed", "best_epoch", "seconds")}}
        arrays: dict[str, Any] = {_ABOUT: np.array(json.dumps(about))}
        for name in _PARTS:
            part: PartAnswers = getattr(self, name)
            arrays |= {f"{name}.clips": part.clips, f"{name}.windows": part.windows}
            arrays |= {f"{name}.logits.{target}": values for target, values in part.logits.items()}
        content = io.BytesIO()
        np.savez(content, **arrays)
        write_bytes(path, content.getvalue())


def truth_of(table: ClipTable, clips: IntArray, target: str) -> IntArray:
    """(clips,) class indices of clips that are all labelled for a target."""
    labels = table.labels(target)
    return np.array([labels.index(table.clips[clip].labels[target]) for clip in clips], np.int64)


def read_answers(path: Path) -> FoldAnswers | None:
    """What a finished fold left; None where there is nothing, or nothing that can be read: it is trained again."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            about = json.loads(str(arrays[_ABOUT]))
            if about.pop("format") != _FORMAT:
                return None
            return FoldAnswers(**about, val=_part(arrays, "val"), test=_part(arrays, "test"))
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None


def _part(arrays: Any, name: str) -> PartAnswers:
    prefix = f"{name}.logits."
    logits = {key.removeprefix(prefix): arrays[key] for key in arrays.files if key.startswith(prefix)}
    return PartAnswers(arrays[f"{name}.clips"], arrays[f"{name}.windows"], logits)
