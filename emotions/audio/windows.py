"""Windows: cut a clip into windows, and pool what the model says of them back into one answer.

Pure functions; the same ones serve training, evaluation, folders and the service.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class WindowSpec:
    """How a clip is cut.

    Attributes:
        samples: W, the samples of one window.
        hop_samples: samples between the starts of neighbouring windows.
        dynamic: True where the model takes any number of samples up to W, so that a short clip is not padded.
    """

    samples: int
    hop_samples: int
    dynamic: bool = False

    def __post_init__(self) -> None:
        if self.samples < 1 or self.hop_samples < 1:
            raise ValueError(f"a window and its hop need at least one sample, got {self}")


@dataclass(frozen=True)
class Windows:
    """The windows of one clip.

    Attributes:
        samples: (windows, W) float32, zero-padded at the end.
        lengths: (windows,) int64, how many samples of each window are real.
        starts: (windows,) int64, first sample of each window in the clip.
    """

    samples: FloatArray
    lengths: IntArray
    starts: IntArray

    def __len__(self) -> int:
        return len(self.lengths)


def window_starts(samples: int, spec: WindowSpec) -> IntArray:
    """First samples of the windows of a clip of ``samples`` samples.

    ``[0]`` if the clip fits one window, else every multiple of the hop, the last ones moved back so that
    no window is short.
    """
    if samples <= spec.samples:
        return np.zeros(1, np.int64)
    grid = np.arange(0, samples, spec.hop_samples, dtype=np.int64)
    return np.unique(np.minimum(grid, samples - spec.samples))


def split(waveform: FloatArray, spec: WindowSpec) -> Windows:
    """Cut a clip into windows.

    Args:
        waveform: (samples,) float32.
        spec: window and hop.

    Returns:
        (windows, W) samples with lengths and starts. A clip shorter than W gives one window, zero-padded at the
        end unless the model's window is dynamic.
    """
    starts = window_starts(len(waveform), spec)
    if len(waveform) >= spec.samples:
        view = np.lib.stride_tricks.sliding_window_view(waveform, spec.samples)
        return Windows(view[starts], np.full(len(starts), spec.samples, np.int64), starts)
    width = len(waveform) if spec.dynamic else spec.samples
    padded = np.zeros((1, width), np.float32)
    padded[0, : len(waveform)] = waveform
    return Windows(padded, np.array([len(waveform)], np.int64), starts)


def pool(probabilities: FloatArray) -> FloatArray:
    """Pool windows into a clip: (windows, classes) probabilities to (classes,), by the plain mean."""
    return cast(FloatArray, probabilities.mean(axis=0, dtype=np.float64).astype(np.float32))
