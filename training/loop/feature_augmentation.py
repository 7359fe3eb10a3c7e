"""Augmentation of features while training: masks over bins and frames, shifts along frequency, mixup.

Masks after SpecAugment (Park et al., 2019, arXiv:1904.08779). Features are normalised, so zero is their mean.
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
    """Shift each window's spectrum by a few bins, then mask some bins and some frames.

    Args:
        features: (batch, bins, frames) or (batch, layers, bins, frames) float32, normalised.
        frames: (batch,) valid frames.
        random: generator on the CPU, so that the device does not change the numbers.
        settings: extent of the changes, and the share of the windows that are changed.

    Returns:
        Like ``features``; they stay zero past the valid frames.
    """
    if settings.probability == 0:
        return features
    changed = shift_bins(features, random, settings.shift_share) * _mask(features, frames, random, settings)
    if settings.probability < 1:
        chosen = torch.rand(len(features), generator=random) < settings.probability
        rows = chosen.to(features.device).reshape(-1, *(1,) * (features.ndim - 1))
        return torch.where(rows, changed, features)
    return changed


def _mask(features: Tensor, frames: Tensor, random: torch.Generator, settings: FeatureAugmentation) -> Tensor:
    """Mask that broadcasts to the features, False where they are masked; the same for all layers."""
    batch, bins, width = len(features), features.shape[-2], features.shape[-1]
    keep = torch.ones((batch, bins, width), dtype=torch.bool, device=features.device)
    for _ in range(settings.masks):
        keep &= ~_span(torch.full((batch,), bins), bins, settings.bins_share, random).to(keep.device)[:, :, None]
        keep &= ~_span(frames.cpu(), width, settings.frames_share, random).to(keep.device)[:, None, :]
    return keep if features.ndim == 3 else keep[:, None]


def shift_bins(features: Tensor, random: torch.Generator, share: float = DEFAULTS.shift_share) -> Tensor:
    """Shift each window up or down along frequency, repeating the bins at the edges.

    Args:
        features: (batch, ..., bins, frames).
        random: generator on the CPU.
        share: largest shift, as a share of the bins.
    """
    batch, bins = len(features), features.shape[-2]
    most = round(share * bins)
    if not most:
        return features
    shift = torch.randint(-most, most + 1, (batch, 1), generator=random)
    source = (torch.arange(bins) + shift).clamp(0, bins - 1).to(features.device)
    index = source.reshape(batch, *(1,) * (features.ndim - 3), bins, 1)
    return features.gather(features.ndim - 2, index.expand_as(features))


def mixed(
    features: Tensor, frames: Tensor, alpha: float, random: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, float]:
    """Mix each window of a batch with another one (mixup: Zhang et al., 2017, arXiv:1710.09412).

    Args:
        features: (batch, ...) float32.
        frames: (batch,) valid frames.
        alpha: the share comes from Beta(alpha, alpha), one per batch.
        random: generator on the CPU.

    Returns:
        The mixed features, their valid frames, (batch,) int64 index of the window that each was mixed with, and the
        share of the window itself.
    """
    order = torch.randperm(len(features), generator=random)
    seed = int(torch.randint(2**62, (), generator=random))
    share = float(np.random.default_rng(seed).beta(alpha, alpha))
    other = order.to(features.device)
    return features.lerp(features[other], 1 - share), torch.maximum(frames, frames[other]), other, share


def _span(lengths: Tensor, size: int, share: float, random: torch.Generator) -> Tensor:
    """A random span of at most ``share`` of each length (batch,): (batch, size) bool, True inside."""
    draws = torch.rand((2, len(lengths), 1), generator=random)
    width = draws[0] * share * lengths[:, None]
    start = draws[1] * (lengths[:, None] - width)
    positions = torch.arange(size)
    return (positions >= start) & (positions < start + width)
