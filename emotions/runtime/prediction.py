"""A loaded model, and its predictions for a clip and for its windows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from emotions.audio import decode
from emotions.audio.speech.level import level_dbfs
from emotions.audio.speech.segmenter import SpeechSpan
from emotions.audio.speech.windows import Segments, Speech, split_speech
from emotions.audio.windows import Float64Array, FloatArray, Windows, WindowSpec, pool, split, window_weights
from emotions.bundle.bundle import Bundle
from emotions.bundle.manifest import Manifest
from emotions.errors import IncompleteAudio, NotANumber
from emotions.runtime.batch_shape import Probabilities
from emotions.runtime.session import Session

ClipInput = Path | str | bytes | npt.NDArray[Any] | tuple[npt.NDArray[Any], int]
"""A path, a file's bytes, a mono waveform (samples,) at 16 kHz, or (waveform, samples per second)."""


@dataclass(frozen=True)
class WindowPrediction:
    """The prediction for a window or segment.

    Attributes:
        start: its first second in the clip, and its last, ``end``.
        probabilities: as ``Prediction`` has them for the clip; likewise ``values``.
        level_dbfs: of a segment of speech: the mean power of its samples in dB below full scale; None for silence.
    """

    start: float
    end: float
    probabilities: dict[str, dict[str, float]]
    values: dict[str, dict[str, float]] = field(default_factory=dict)
    level_dbfs: float | None = None


@dataclass(frozen=True)
class Prediction:
    """The prediction for one clip.

    Attributes:
        probabilities: ``probabilities[target][label]``, pooled over the clip's windows by the bundle's rule.
        values: ``values[target][dimension]`` of the targets of dimensions, pooled likewise; meant on the range that the
            bundle states, which they may leave.
        windows: the same for each window, in order.
        duration_sec: seconds of audio.
        segments: the same for each segment of speech, where only speech was classified.
        thresholds: confidence below which a target's answer is unknown, of the targets that the bundle has one for;
            infinity where every answer is.
        warnings: what is missing in the recording, in words: ``truncated: is cut off: ...``, ``damaged: ...``.
    """

    probabilities: dict[str, dict[str, float]]
    windows: tuple[WindowPrediction, ...]
    duration_sec: float
    values: dict[str, dict[str, float]] = field(default_factory=dict, kw_only=True)
    thresholds: Mapping[str, float] = field(default_factory=dict, compare=False, kw_only=True)
    warnings: tuple[str, ...] = field(default=(), kw_only=True)
    segments: tuple[WindowPrediction, ...] = field(default=(), kw_only=True)

    @property
    def speech_sec(self) -> float:
        """Seconds of its segments of speech."""
        return sum(each.end - each.start for each in self.segments)

    @property
    def truncated(self) -> bool:
        """Whether the recording ends before it should: the prediction is of what there is."""
        return any(warning.startswith("truncated:") for warning in self.warnings)

    @property
    def labels(self) -> dict[str, str]:
        """The most probable label of each target."""
        return {target: max(scores, key=scores.__getitem__) for target, scores in self.probabilities.items()}

    @property
    def label(self) -> str:
        """The most probable label of the first target that has labels; empty where there are dimensions alone."""
        return next(iter(self.labels.values()), "")

    @property
    def unknown(self) -> dict[str, bool]:
        """Whether the model is too unsure of each target that has a threshold; ``labels`` are there all the same."""
        return {target: max(self.probabilities[target].values()) < least for target, least in self.thresholds.items()}

    @property
    def confidence(self) -> float:
        """The probability of ``label``; NaN where there are dimensions alone."""
        return max(next(iter(self.probabilities.values())).values()) if self.probabilities else math.nan

    @property
    def answers(self) -> dict[str, dict[str, float]]:
        """``probabilities`` and ``values`` in one: all that the model's outputs say."""
        return {**self.probabilities, **self.values}


@dataclass(frozen=True, eq=False)
class Model:
    """A bundle and the session that runs it: cuts a waveform into windows, and pools their probabilities."""

    bundle: Bundle
    session: Session

    @cached_property
    def manifest(self) -> Manifest:
        """The bundle's manifest."""
        return self.bundle.manifest

    @property
    def window_sec(self) -> float:
        """Seconds of one window."""
        return self.manifest.window.samples / decode.SAMPLE_RATE

    @cached_property
    def window_spec(self) -> WindowSpec:
        """Window and hop in samples."""
        return self.manifest.window.spec

    @cached_property
    def _labels(self) -> dict[str, list[str]]:
        return self.manifest.labels

    @cached_property
    def _dimensions(self) -> dict[str, list[str]]:
        return self.manifest.dimensions

    @cached_property
    def _thresholds(self) -> dict[str, float]:
        return self.manifest.thresholds

    def split(self, waveform: FloatArray) -> Windows:
        """Cut a waveform (samples,) at 16 kHz into this model's windows."""
        return split(waveform, self.window_spec)

    def split_into(self, segments: Segments, waveform: FloatArray) -> tuple[Windows, Speech | None]:
        """Cut all of a waveform (samples,) at 16 kHz into windows, or its speech, and say where that is.

        Raises:
            NoSpeech: there is none.
            ConfigError: the package that finds it is not installed.
        """
        if segments == "speech":
            return split_speech(waveform, self.window_spec)
        return split(waveform, self.window_spec), None

    def prediction(
        self,
        windows: Windows,
        probabilities: Probabilities,
        flaws: Sequence[IncompleteAudio] = (),
        speech: Speech | None = None,
    ) -> Prediction:
        """Pool the probabilities of a clip's windows into its prediction.

        Args:
            windows: of the clip; their samples are not used.
            probabilities: target -> (windows, classes) float32.
            flaws: what is missing in the recording.
            speech: where it is, if the windows are of speech alone: each segment is pooled as a recording of its own,
                and counts by its length.

        Raises:
            NotANumber: a probability is NaN or infinite.
        """
        if not all(np.isfinite(values).all() for values in probabilities.values()):
            raise NotANumber("the model's answer is not a number")
        labels, dimensions = self._labels, self._dimensions
        weights = self._weights(windows, speech)
        clip = self._pooled(probabilities, weights)
        parts = tuple(
            WindowPrediction(
                start / decode.SAMPLE_RATE,
                (start + length) / decode.SAMPLE_RATE,
                _named(labels, {name: values[index] for name, values in probabilities.items()}),
                _named(dimensions, {name: values[index] for name, values in probabilities.items()}),
            )
            for index, (start, length) in enumerate(zip(windows.starts.tolist(), windows.lengths.tolist(), strict=True))
        )
        return Prediction(
            _named(labels, clip),
            parts,
            parts[-1].end if speech is None else speech.samples / decode.SAMPLE_RATE,
            values=_named(dimensions, clip),
            thresholds=self._thresholds,
            warnings=tuple(flaw.warning for flaw in flaws),
            segments=() if speech is None else self._segments(windows, probabilities, weights, speech),
        )

    def _pooled(self, answers: Probabilities, weights: Float64Array) -> Mapping[str, FloatArray]:
        return {name: pool(answers[name], weights) for name in self.manifest.targets}

    def _weights(self, windows: Windows, speech: Speech | None) -> Float64Array:
        """Weight of each window, (windows,); of windows of speech those of a segment share its length."""
        hop, pooling = self.manifest.window.hop_samples, self.manifest.pooling
        if speech is None:
            return window_weights(windows.starts, windows.lengths, hop, pooling)
        shares = []
        for span, (first, behind) in zip(speech.spans, _windows_of(speech, windows), strict=True):
            inside = window_weights(windows.starts[first:behind], windows.lengths[first:behind], hop, pooling)
            shares.append(inside / inside.sum() * (span.end - span.begin))
        return np.concatenate(shares)

    def _segments(
        self, windows: Windows, probabilities: Probabilities, weights: Float64Array, speech: Speech
    ) -> tuple[WindowPrediction, ...]:
        levels = map(level_dbfs, speech.powers or [0.0] * len(speech.spans))
        return tuple(
            replace(
                self._segment(
                    span, {name: each[first:behind] for name, each in probabilities.items()}, weights[first:behind]
                ),
                level_dbfs=level,
            )
            for span, (first, behind), level in zip(speech.spans, _windows_of(speech, windows), levels, strict=True)
        )

    def _segment(self, span: SpeechSpan, answers: Probabilities, weights: Float64Array) -> WindowPrediction:
        begin, end = span.begin / decode.SAMPLE_RATE, span.end / decode.SAMPLE_RATE
        pooled = self._pooled(answers, weights)
        return WindowPrediction(begin, end, _named(self._labels, pooled), _named(self._dimensions, pooled))


def _windows_of(speech: Speech, windows: Windows) -> list[tuple[int, int]]:
    """The first window of each segment, and the one behind its last."""
    edges = np.searchsorted(windows.starts, [span.begin for span in speech.spans])
    return list(pairwise([*edges.tolist(), len(windows)]))


def _named(targets: Mapping[str, list[str]], values: Mapping[str, FloatArray]) -> dict[str, dict[str, float]]:
    return {target: dict(zip(names, values[target].tolist(), strict=True)) for target, names in targets.items()}
