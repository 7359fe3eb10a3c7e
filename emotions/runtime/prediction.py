"""A loaded model, and its predictions for a clip and for its windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from emotions.audio import decode
from emotions.audio.speech.windows import Segments, Speech, split_speech
from emotions.audio.windows import Float64Array, FloatArray, Windows, WindowSpec, pool, split, window_weights
from emotions.bundle.manifest import Bundle, Manifest
from emotions.errors import IncompleteAudio, NotANumber
from emotions.runtime.batch_shape import Probabilities
from emotions.runtime.session import Session

ClipInput = Path | str | bytes | npt.NDArray[Any] | tuple[npt.NDArray[Any], int]
"""A path, a file's bytes, a mono waveform (samples,) at 16 kHz, or (waveform, samples per second)."""


@dataclass(frozen=True)
class WindowPrediction:
    """The prediction for one window, or segment: ``start`` and ``end`` in s, ``probabilities[target][label]``."""

    start: float
    end: float
    probabilities: dict[str, dict[str, float]]


@dataclass(frozen=True)
class Prediction:
    """The prediction for one clip.

    Attributes:
        probabilities: ``probabilities[target][label]``, pooled over the clip's windows by the bundle's rule.
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
        """The most probable label of the first target."""
        return next(iter(self.labels.values()))

    @property
    def unknown(self) -> dict[str, bool]:
        """Whether the model is too unsure of each target that has a threshold; ``labels`` are there all the same."""
        return {target: max(self.probabilities[target].values()) < least for target, least in self.thresholds.items()}

    @property
    def confidence(self) -> float:
        """The probability of ``label``."""
        return max(next(iter(self.probabilities.values())).values())


@dataclass(frozen=True, eq=False)
class Model:
    """A bundle and the session that runs it: cuts a waveform into windows, and pools their probabilities."""

    bundle: Bundle
    session: Session

    @property
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
        return split_speech(waveform, self.window_spec) if segments == "speech" else (self.split(waveform), None)

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
        targets = self.manifest.targets
        weights = self._weights(windows, speech)
        clip = {name: _named(labels, pool(probabilities[name], weights)) for name, labels in targets.items()}
        parts = tuple(
            WindowPrediction(
                start / decode.SAMPLE_RATE,
                (start + length) / decode.SAMPLE_RATE,
                {name: _named(labels, probabilities[name][index]) for name, labels in targets.items()},
            )
            for index, (start, length) in enumerate(zip(windows.starts.tolist(), windows.lengths.tolist(), strict=True))
        )
        warnings = decode.warnings_of(flaws)
        duration = parts[-1].end if speech is None else speech.samples / decode.SAMPLE_RATE
        segments = () if speech is None else self._segments(windows, probabilities, weights, speech)
        return Prediction(clip, parts, duration, thresholds=self._thresholds, warnings=warnings, segments=segments)

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
        return tuple(
            WindowPrediction(
                span.begin / decode.SAMPLE_RATE,
                span.end / decode.SAMPLE_RATE,
                {
                    name: _named(labels, pool(probabilities[name][first:behind], weights[first:behind]))
                    for name, labels in self.manifest.targets.items()
                },
            )
            for span, (first, behind) in zip(speech.spans, _windows_of(speech, windows), strict=True)
        )


def _windows_of(speech: Speech, windows: Windows) -> list[tuple[int, int]]:
    """The first window of each segment, and the one behind its last."""
    edges = np.searchsorted(windows.starts, [span.begin for span in speech.spans])
    return list(pairwise([*edges.tolist(), len(windows)]))


def _named(labels: list[str], values: FloatArray) -> dict[str, float]:
    return dict(zip(labels, values.tolist(), strict=True))
