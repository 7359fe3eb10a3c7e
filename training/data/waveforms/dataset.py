"""The windows of prepared clips, as a torch dataset."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import torch
from torch.utils.data import Dataset

from emotions.audio.windows import Float64Array, FloatArray, IntArray, WindowSpec, window_starts, window_weights
from emotions.bundle.targets import Range
from training.data.clips import Clip
from training.data.waveforms.clip_info import ClipInfo
from training.data.waveforms.waveform_cache import WaveformCache

NO_LABEL = -100
"""Class index of a target that a clip has no label for: what torch's cross-entropy ignores."""
_SHARES = ".shares"


def shares_key(target: str) -> str:
    """Key, in the truth of a clip or a batch, of the shares of a target's labels; no target has a dot in its name."""
    return f"{target}{_SHARES}"


Truth = dict[str, int | torch.Tensor]
Item = tuple[torch.Tensor, int, Truth, int, torch.Tensor]


class WindowDataset(Dataset[Item]):
    """Every window of every clip.

    An item is ``(waveform, length, classes, clip, share)``: (W,) float32 zero-padded at the end, number of valid
    samples, the class index of each target (``NO_LABEL`` where the clip has none), the clip's index in ``clips``, and
    the window's share of its clip; the shares of a clip's windows sum to 1. The default collation makes (B, W)
    float32, (B,) int64, {target: (B,) int64}, (B,) int64, (B,) float32 of them. Of a target of dimensions there are
    values in place of the class index, (dimensions,) float32 where its range is -1 to 1, NaN where one is missing. Of a
    target with known distributions there is ``shares_key(target)`` beside the class index, which is the majority's:
    (labels,) float32 that sum to 1, all 0 where the clip has no label.

    Samples stay on disk, memory-mapped; picklable for the workers of a DataLoader.

    Attributes:
        shares: (windows,) float32, share of each window in its clip.

    Args:
        clips: clips that can be used.
        facts: of each clip, as ``WaveformCache.prepare`` gives them.
        cache: holds the samples.
        spec: the window; every item is W samples wide, dynamic or not.
        labels: the labels, or dimensions, of each target in output order.
        ranges: of the targets of dimensions.

    Raises:
        ValueError: a clip cannot be used, or has a label that is not among ``labels``.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        facts: Sequence[ClipInfo],
        cache: WaveformCache,
        spec: WindowSpec,
        labels: Mapping[str, Sequence[str]],
        ranges: Mapping[str, Range] = MappingProxyType({}),
    ) -> None:
        if len(clips) != len(facts) or any(fact.error for fact in facts):
            raise ValueError("a window dataset takes usable clips, each with its facts")
        self.clips = tuple(clips)
        self.spec = spec
        self.targets = tuple(labels)
        self.facts = tuple(facts)
        self._cache = cache
        self._classes = _classes(clips, {name: names for name, names in labels.items() if name not in ranges})
        self._labelled = tuple(name for name in labels if name not in ranges)
        soft = [name for name in self._labelled if any(name in clip.shares for clip in clips)]
        self._shares = {name: _distributions(clips, name, labels[name]) for name in soft}
        self._values = {name: _values(clips, name, len(labels[name]), bounds) for name, bounds in ranges.items()}
        starts = [window_starts(fact.samples, spec) for fact in facts]
        self._starts = np.concatenate([*starts, np.zeros(0, np.int64)])
        self._first = np.cumsum([0, *(len(each) for each in starts)])
        self._clip_of = np.repeat(np.arange(len(clips)), np.diff(self._first))
        shares = [_shares(each, fact.samples, spec) for each, fact in zip(starts, facts, strict=True)]
        self.shares = torch.from_numpy(np.concatenate([*shares, np.zeros(0)])).float()

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: int) -> Item:
        clip = int(self._clip_of[index])
        samples = self._cache.load(self.facts[clip], self.clips[clip])
        start = int(self._starts[index])
        window = samples[start : start + self.spec.samples]
        waveform = torch.zeros(self.spec.samples)
        waveform.numpy()[: len(window)] = window
        return waveform, len(window), self.truth(clip), clip, self.shares[index]

    def windows_of(self, clip: int) -> range:
        """The items that are the windows of a clip, in the order of their starts."""
        return range(int(self._first[clip]), int(self._first[clip + 1]))

    def place(self, index: int) -> tuple[int, int]:
        """The clip of an item, and which of the clip's windows it is."""
        clip = int(self._clip_of[index])
        return clip, index - int(self._first[clip])

    def truth(self, clip: int) -> Truth:
        """Class index of a clip for each target, ``NO_LABEL`` where it has none; values of a target of dimensions."""
        classes: Truth = dict(zip(self._labelled, self._classes[clip].tolist(), strict=True))
        classes |= {shares_key(name): torch.from_numpy(shares[clip]) for name, shares in self._shares.items()}
        return classes | {name: torch.from_numpy(values[clip]) for name, values in self._values.items()}

    def classes(self, target: str) -> IntArray:
        """Class index of every clip for a target, (clips,), ``NO_LABEL`` where it has none.

        Of a target of dimensions it is 0 where a value is known.
        """
        if target in self._values:
            return np.where(np.isnan(self._values[target]).all(axis=1), NO_LABEL, 0)
        return self._classes[:, self._labelled.index(target)]

    def is_dimensional(self, target: str) -> bool:
        """Whether a target is of dimensions."""
        return target in self._values

    def shares_of(self, target: str) -> FloatArray | None:
        """Shares of the labels of every clip, (clips, labels), as in ``truth``; None of a target without them."""
        return self._shares.get(target)

    def values(self, target: str) -> FloatArray:
        """Values of every clip for a target of dimensions, as in ``truth``, (clips, dimensions)."""
        return self._values[target]


def _values(clips: Sequence[Clip], target: str, dimensions: int, bounds: Range) -> FloatArray:
    """Values of each clip, (clips, dimensions) float32, where the range is -1 to 1; NaN where one is missing."""
    low, high = bounds
    missing = (math.nan,) * dimensions
    values = np.array([clip.values.get(target, missing) for clip in clips], np.float64).reshape(-1, dimensions)
    return ((2 * values - low - high) / (high - low)).astype(np.float32)


def _shares(starts: IntArray, samples: int, spec: WindowSpec) -> Float64Array:
    weights = window_weights(starts, np.minimum(spec.samples, samples - starts), spec.hop_samples)
    shares: Float64Array = weights / weights.sum()
    return shares


def _distributions(clips: Sequence[Clip], target: str, labels: Sequence[str]) -> FloatArray:
    """Shares of each label, (clips, labels) float32; all 0 where a clip has none."""
    shares = np.zeros((len(clips), len(labels)), np.float32)
    place = {label: index for index, label in enumerate(labels)}
    for row, clip in enumerate(clips):
        own = {clip.labels[target]: 1.0} if target in clip.labels else {}
        for label, share in clip.shares.get(target, own).items():
            shares[row, place[label]] = share
    return shares


def _classes(clips: Sequence[Clip], labels: Mapping[str, Sequence[str]]) -> IntArray:
    classes = np.full((len(clips), len(labels)), NO_LABEL, np.int64)
    for column, (target, names) in enumerate(labels.items()):
        number = {name: index for index, name in enumerate(names)}
        for row, clip in enumerate(clips):
            if target in clip.labels:
                if clip.labels[target] not in number:
                    raise ValueError(f"{target} {clip.labels[target]!r} is not one of {', '.join(names)}")
                classes[row, column] = number[clip.labels[target]]
    return classes
