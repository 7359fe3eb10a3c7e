"""Augmentation of features while training: bands and spans blotted out, spectra moved a little, windows mixed.

Masks after SpecAugment (Park et al., 2019, arXiv:1904.08779). Features are normalised, so zero is the mean and hides.
Measured with the defaults on 339 clips of acted speech by ten speakers, four emotions, one split: UAR on two held-out
speakers 0.55 without, 0.71 with masks alone and with both; best validation loss 0.94, 0.70 and 0.55.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from training.config.learning import FeatureAugmentation

DEFAULTS = FeatureAugmentation()


def augment(
    features: Tensor, frames: Tensor, random: torch.Generator, settings: FeatureAugmentation = DEFAULTS
) -> Tensor:
    """Shift each window's spectrum by a few bins, then hide some bins and some frames.

    Args:
        features: (batch, bins, frames) or (batch, layers, bins, frames) float32, normalised.
        frames: (batch,) valid frames.
        random: a CPU generator: the same numbers whatever the device.
        settings: how much, and of how many windows.

    Returns:
        Like ``features``; they stay zero past the valid frames.
    """
    if settings.probability == 0:
        return features
    changed = shift_bins(features, random, settings.shift_share) * _kept(features, frames, random, settings)
    if settings.probability < 1:
        chosen = torch.rand(len(features), generator=random) < settings.probability
        return torch.where(_beside(chosen, features), changed, features)
    return changed


def _kept(features: Tensor, frames: Tensor, random: torch.Generator, settings: FeatureAugmentation) -> Tensor:
    """False where something is hidden, in a shape that goes with the features; layers share it."""
    batch, bins, width = len(features), features.shape[-2], features.shape[-1]
    keep = torch.ones((batch, bins, width), dtype=torch.bool, device=features.device)
    for _ in range(settings.masks):
        keep &= ~_span(torch.full((batch,), bins), bins, settings.bins_share, random).to(keep.device)[:, :, None]
        keep &= ~_span(frames.cpu(), width, settings.frames_share, random).to(keep.device)[:, None, :]
    return keep if features.ndim == 3 else keep[:, None]


def shift_bins(features: Tensor, random: torch.Generator, share: float = DEFAULTS.shift_share) -> Tensor:
    """Move each window of (batch, ..., bins, frames) up or down by at most ``share`` of the bins; edges repeat."""
    batch, bins = len(features), features.shape[-2]
    most = round(share * bins)
    if not most:
        return features
    shift = torch.randint(-most, most + 1, (batch, 1), generator=random)
    source = (torch.arange(bins) + shift).clamp(0, bins - 1).to(features.device)
    place = source.reshape(batch, *(1,) * (features.ndim - 3), bins, 1)
    return features.gather(features.ndim - 2, place.expand_as(features))


def mixed(
    features: Tensor, frames: Tensor, alpha: float, random: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, float]:
    """Mix each window of a batch with another one (mixup: Zhang et al., 2017, arXiv:1710.09412).

    Args:
        features: (batch, ...) float32.
        frames: (batch,) valid frames.
        alpha: shares come from Beta(alpha, alpha); one share a batch.
        random: a CPU generator.

    Returns:
        The mixed features and valid frames, (batch,) int64 which other window each was mixed with, and the share that
        each kept of its own.
    """
    order = torch.randperm(len(features), generator=random)
    seed = int(torch.randint(2**62, (), generator=random))
    share = float(np.random.default_rng(seed).beta(alpha, alpha))
    other = order.to(features.device)
    return features.lerp(features[other], 1 - share), torch.maximum(frames, frames[other]), other, share


def _beside(chosen: Tensor, features: Tensor) -> Tensor:
    return chosen.to(features.device).reshape(-1, *(1,) * (features.ndim - 1))


def _span(extent: Tensor, size: int, share: float, random: torch.Generator) -> Tensor:
    """A random span of at most ``share`` of each extent (batch,): (batch, size) bool, True inside."""
    draws = torch.rand((2, len(extent), 1), generator=random)
    width = draws[0] * share * extent[:, None]
    start = draws[1] * (extent[:, None] - width)
    place = torch.arange(size)
    return (place >= start) & (place < start + width)
