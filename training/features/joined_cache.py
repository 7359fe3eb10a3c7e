"""The features of several frontends as one: each is cached by itself, so that another one beside it computes nothing
anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch

from emotions.audio.windows import WindowSpec
from training.data.waveforms.dataset import WindowDataset
from training.features.extract import Array, Precision
from training.features.feature_cache import FeatureCache
from training.models.base import Frontend


class JoinedCache:
    """As ``FeatureCache``, for a frontend of several parts whose features stand one after the other.

    Args:
        caches: of the parts, in their order.

    Attributes:
        shape: of a full window's features: (dims, frames).
    """

    def __init__(self, caches: Sequence[FeatureCache]) -> None:
        self.caches = caches
        self.shape = (sum(cache.shape[0] for cache in caches), *caches[0].shape[1:])

    def prepare(
        self, windows: WindowDataset, frontend: Frontend, devices: Sequence[torch.device | str] = ("cpu",)
    ) -> int:
        """Compute the features of every clip that are not cached; as ``FeatureCache.prepare``.

        Args:
            windows: the clips.
            frontend: the one that has the parts.
            devices: where it computes.
        """
        parts = zip(self.caches, frontend.parts, strict=True)
        return sum(cache.prepare(windows, part, devices) for cache, part in parts)

    def load(self, windows: WindowDataset, clip: int) -> Array:
        """The features of a clip: (windows, dims, frames) float32.

        Args:
            windows: windows of the clips.
            clip: index.
        """
        return np.concatenate([cache.load(windows, clip) for cache in self.caches], axis=1)


def cache_of(
    frontend: Frontend, spec: WindowSpec, make: Callable[[], Frontend], *, precision: Precision = "fp32"
) -> FeatureCache | JoinedCache:
    """The cache of a frontend's features.

    Args:
        frontend: computes the features; frozen.
        spec: the window.
        make: builds the frontend again, on the CPU.
        precision: what it computes in.
    """
    if len(frontend.parts) == 1:
        return FeatureCache(frontend, spec, make, precision=precision)
    made = (partial(_part, make, number) for number in range(len(frontend.parts)))
    return JoinedCache(
        [FeatureCache(part, spec, each, precision=precision) for part, each in zip(frontend.parts, made, strict=True)]
    )


def _part(make: Callable[[], Frontend], number: int) -> Frontend:
    return make().parts[number]
