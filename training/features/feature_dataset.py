"""Precomputed features, as a torch dataset for a head."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from emotions.audio.windows import FloatArray, IntArray
from training.data.waveforms.dataset import WindowDataset
from training.features.feature_cache import FeatureCache
from training.features.joined_cache import JoinedCache


class FeatureItem(NamedTuple):
    """Features of one window, or of a batch; the type distinguishes them from samples.

    Attributes:
        features: ([batch,] ..., frames) float32, zero past the valid frames, as wide as a full window's.
        frames: ([batch]) int64, number of valid frames.
        classes: class index of each target, ([batch]) int64, ``NO_LABEL`` where there is none.
        clip: ([batch]) int64, the clip's index.
        share: ([batch]) float32, the window's share of its clip.
    """

    features: Tensor
    frames: Any
    classes: Any
    clip: Any
    share: Any


class FeatureDataset(Dataset[FeatureItem]):
    """The features of every window of every clip, in the order of a ``WindowDataset``.

    Features stay on disk, memory-mapped; picklable for the workers of a DataLoader.

    Args:
        windows: the windows; their samples are not read.
        cache: holds their features after ``FeatureCache.prepare``.
    """

    def __init__(self, windows: WindowDataset, cache: FeatureCache | JoinedCache) -> None:
        self.windows, self.cache = windows, cache
        self.clips, self.spec, self.targets, self.facts = windows.clips, windows.spec, windows.targets, windows.facts

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> FeatureItem:
        clip, window = self.windows.place(index)
        kept = self.cache.load(self.windows, clip)[window]
        features = torch.zeros(self.cache.shape)
        features.numpy()[..., : kept.shape[-1]] = kept
        return FeatureItem(features, kept.shape[-1], self.windows.truth(clip), clip, self.windows.shares[index])

    def classes(self, target: str) -> IntArray:
        """Class index of every clip for a target, (clips,), ``NO_LABEL`` where it has none."""
        return self.windows.classes(target)

    def shares_of(self, target: str) -> FloatArray | None:
        """Shares of the labels of every clip, as ``WindowDataset.shares_of``."""
        return self.windows.shares_of(target)

    def values(self, target: str) -> FloatArray:
        """Values of every clip for a target of dimensions, as ``WindowDataset.values``."""
        return self.windows.values(target)


ClipDataset = WindowDataset | FeatureDataset
"""What a model trains on: windows of samples, or their features."""
