"""Totals of a prediction run: counted as results come, recorded in the checkpoint by chunk, shown at the end."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from emotions.folder.result import FileResult

_HEAD = 8
"""Results that the summary shows."""
CONFIDENCE_BINS = 20
"""Bins of the confidence, from 0 to 1."""
DURATION_BINS = 4
"""Bins of the duration in each doubling of it."""

_STATE = ("files", "audio_sec", "codes", "warnings", "labels", "confidences", "durations", "head")


@dataclass
class Totals:
    """Counts of all files.

    Attributes:
        skipped: files ignored because of their extension.
        codes: how often each error occurred.
        warnings: how often each warning occurred, such as ``truncated``.
        wall_sec: seconds that this took, without loading the model.
        labels: target -> how often each label was the most probable one.
        confidences: files in each of ``CONFIDENCE_BINS``.
        durations: files by duration, in bins that start at 2 ** (bin / DURATION_BINS) seconds.
        head: cells of the first results: name, label of each target, confidence, duration, error.
        resumed_files: those of ``files`` that an earlier run did, with ``resumed_sec`` of the audio.
    """

    skipped: int = 0
    files: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    audio_sec: float = 0.0
    wall_sec: float = 0.0
    labels: dict[str, Counter[str]] = field(default_factory=dict)
    confidences: Counter[int] = field(default_factory=Counter)
    durations: Counter[int] = field(default_factory=Counter)
    head: list[list[str]] = field(default_factory=list)
    resumed_files: int = 0
    resumed_sec: float = 0.0

    @property
    def errors(self) -> int:
        """Files that failed."""
        return self.codes.total()

    def add(self, result: FileResult) -> None:
        """Count one result."""
        self.files += 1
        if len(self.head) < _HEAD:
            self.head.append(_cells(result))
        prediction = result.prediction
        if prediction is None:
            self.codes[result.code or "error"] += 1
            return
        self.audio_sec += prediction.duration_sec
        self.warnings.update(warning.partition(":")[0] for warning in prediction.warnings)
        self.confidences[min(CONFIDENCE_BINS - 1, int(prediction.confidence * CONFIDENCE_BINS))] += 1
        self.durations[math.floor(math.log2(max(prediction.duration_sec, 1e-3)) * DURATION_BINS)] += 1
        for target, label in prediction.labels.items():
            self.labels.setdefault(target, Counter())[label] += 1

    def state(self) -> dict[str, Any]:
        """The counts of a chunk as JSON, for ``merge``."""
        return {name: getattr(self, name) for name in _STATE}

    def merge(self, state: Mapping[str, Any]) -> None:
        """Add the counts of a chunk, as ``state`` gives them."""
        self.files += state["files"]
        self.audio_sec += state["audio_sec"]
        self.codes.update(state["codes"])
        self.warnings.update(state.get("warnings", {}))  # not in a journal of 0.1
        for target, counts in state["labels"].items():
            self.labels.setdefault(target, Counter()).update(counts)
        for mine, theirs in ((self.confidences, state["confidences"]), (self.durations, state["durations"])):
            mine.update({int(number): count for number, count in theirs.items()})
        self.head += state["head"][: _HEAD - len(self.head)]


def _cells(result: FileResult) -> list[str]:
    prediction = result.prediction
    if prediction is None:
        return [result.name, result.code or ""]
    return [
        result.name,
        *prediction.labels.values(),
        f"{prediction.confidence:.3f}",
        f"{prediction.duration_sec:.2f}",
        "",
    ]
