"""Windows: cut a clip into windows, and pool their probabilities into those of the clip.

Pure functions; the same ones serve training, evaluation, folders and the service.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
Float64Array = npt.NDArray[np.float64]
Pooling = Literal["coverage", "mean"]
"""How windows become a clip: every sample counts once, or, in bundles and runs that do not say so, every window."""


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
    """First samples of a clip's windows.

    ``[0]`` if the clip fits one window, else every multiple of the hop, the last ones moved back so that
    no window is short.

    Args:
        samples: length of the clip.
        spec: window and hop.
    """
    if samples <= spec.samples:
        return np.zeros(1, np.int64)
    grid, last = np.arange(0, samples, spec.hop_samples, dtype=np.int64), samples - spec.samples
    return np.minimum(grid[: grid.searchsorted(last) + 1], last)


def split(waveform: FloatArray, spec: WindowSpec) -> Windows:
    """Cut a clip into windows.

    Args:
        waveform: (samples,) float32.
        spec: window and hop.

    Returns:
        (windows, W) samples with lengths and starts. A clip shorter than W gives one window, zero-padded at the
        end unless the model's window is dynamic.

    Example:
        >>> split(np.ones(10, np.float32), WindowSpec(samples=4, hop_samples=4)).starts
        array([0, 4, 6])
    """
    return _windows_at(waveform, window_starts(len(waveform), spec), 0, spec)


def split_parts(parts: Iterable[tuple[FloatArray, bool]], spec: WindowSpec) -> Iterator[Windows]:
    """Cut a clip that arrives in parts, with no more than a part and a window of it in memory.

    Args:
        parts: (samples,) float32 each, and whether it is the clip's last.
        spec: window and hop.

    Yields:
        The windows of ``split``, as soon as it is certain where they start: the last ones may be moved back.
    """
    splitter = WindowSplitter(spec)
    for part, last in parts:
        windows = splitter.push(part, last=last)
        if len(windows):
            yield windows


class WindowSplitter:
    """Cuts a clip while it arrives, with no more than a part and a window of it in memory.

    Args:
        spec: window and hop.

    Attributes:
        samples: of the clip that it was given.
    """

    def __init__(self, spec: WindowSpec) -> None:
        self.samples = 0
        self._spec = spec
        self._held = np.zeros(0, np.float32)
        self._offset = self._done = 0

    def push(self, part: FloatArray, *, last: bool = False) -> Windows:
        """Take the next samples, and give the windows of ``split`` that are certain by them; often none.

        Args:
            part: (samples,) float32.
            last: whether nothing follows.
        """
        self._held = np.concatenate([self._held, part]) if len(self._held) else part
        self.samples += len(part)
        certain = window_starts(self.samples, self._spec) if last else _grid(self.samples, self._spec)
        starts = certain[self._done :]
        self._done += len(starts)
        windows = _windows_at(self._held, starts, self._offset, self._spec)
        # A later window starts at the next multiple of the hop, or W samples before the end.
        keep = max(self._offset, min(self._done * self._spec.hop_samples, self.samples - self._spec.samples))
        self._held, self._offset = self._held[keep - self._offset :], keep
        return windows

    def latest(self) -> Windows:
        """The last W samples in one window, or as many as there are."""
        start = max(0, self.samples - self._spec.samples)
        return _windows_at(self._held[start - self._offset :], np.array([start], np.int64), start, self._spec)


def _grid(samples: int, spec: WindowSpec) -> IntArray:
    return np.arange(0, samples - spec.samples + 1, spec.hop_samples, dtype=np.int64)


def _windows_at(waveform: FloatArray, starts: IntArray, offset: int, spec: WindowSpec) -> Windows:
    """The windows at ``starts`` of a clip whose samples from ``offset`` on are ``waveform``."""
    if len(starts) and len(waveform) < spec.samples:
        return Windows(
            waveform[None] if spec.dynamic else _padded(waveform, spec.samples),
            np.array([len(waveform)], np.int64),
            starts,
        )
    samples = np.empty((len(starts), spec.samples), waveform.dtype)
    for row, start in zip(samples, (starts - offset).tolist(), strict=True):
        row[:] = waveform[start : start + spec.samples]
    return Windows(samples, np.full(len(starts), spec.samples, np.int64), starts)


def _padded(waveform: FloatArray, samples: int) -> FloatArray:
    """A waveform in a window of its own, (1, samples), zeros behind it; ``np.pad`` takes three times as long."""
    window = np.empty((1, samples), waveform.dtype)
    window[0, : len(waveform)] = waveform
    window[0, len(waveform) :] = 0
    return window


def window_weights(
    starts: IntArray, lengths: IntArray, hop_samples: int, pooling: Pooling = "coverage"
) -> Float64Array:
    """Weight of each window in the probabilities of its clip: (windows,) float64; by ``mean`` 1 for each.

    By ``coverage`` each sample counts once, shared equally by the windows that cover it. Where the hop is shorter than
    the window, the last window, which is moved back, and the one before it count together as ``1 + d / hop`` windows,
    d samples being between their starts: a recording that grows past a multiple of the hop gains a window that is
    next to a copy of another, and the others must not lose a whole share to it.

    Args:
        starts: (windows,) first samples of a clip's windows, ascending.
        lengths: (windows,) real samples of each.
        hop_samples: samples between the starts of neighbouring windows.
        pooling: the rule.

    Example:
        >>> window_weights(np.array([0, 4, 5]), np.array([4, 4, 4]), hop_samples=4)
        array([4. , 2.5, 2.5])
    """
    if pooling == "mean":
        return np.ones(len(starts))
    if len(starts) == 1:
        return lengths.astype(np.float64)
    counted = np.ones(len(starts))
    counted[-2:] = (1 + min(1.0, (starts[-1] - starts[-2]) / hop_samples)) / 2
    ends = starts + lengths
    edges = np.array(sorted({*starts.tolist(), *ends.tolist()}))  # np.unique lets go of the interpreter's lock
    first, end = np.searchsorted(edges, starts), np.searchsorted(edges, ends)
    changes = np.zeros(len(edges))
    np.add.at(changes, first, counted)
    np.add.at(changes, end, -counted)
    # Between neighbouring edges the same windows cover every sample; where none does, nothing is shared.
    covering = np.cumsum(changes)[:-1]
    samples = np.diff(edges)
    shared = np.concatenate([[0.0], np.cumsum(np.where(covering > 1e-9, samples / covering.clip(1e-9), 0.0))])
    weights: Float64Array = counted * (shared[end] - shared[first])
    return weights


def pool(probabilities: FloatArray, weights: Float64Array | None = None) -> FloatArray:
    """Pool windows into a clip: (windows, classes) probabilities to (classes,).

    Args:
        probabilities: (windows, classes) float32.
        weights: (windows,) of ``window_weights``; by default windows count equally.

    Example:
        >>> pool(np.array([[0.25, 0.75], [0.75, 0.25]], np.float32))
        array([0.5, 0.5], dtype=float32)
    """
    if len(probabilities) == 1:  # most recordings; its weight takes nothing from it
        return cast(FloatArray, probabilities[0].astype(np.float32))
    if weights is None:
        weights = np.ones(len(probabilities))
    return cast(FloatArray, ((weights[:, None] * probabilities).sum(axis=0) / weights.sum()).astype(np.float32))
