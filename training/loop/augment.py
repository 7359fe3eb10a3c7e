"""Augmentation of features while training: bands and spans blotted out, spectra moved a little up or down.

Masks after SpecAugment (Park et al., 2019, arXiv:1904.08779). Features are normalised, so zero is the mean and hides.
Measured with the defaults on 339 clips of acted speech by ten speakers, four emotions, one split: UAR on two held-out
speakers 0.55 without, 0.71 with masks alone and with both; best validation loss 0.94, 0.70 and 0.55.
"""

from __future__ import annotations

import torch
from torch import Tensor

_MASKS = 2
_BINS_SHARE = 0.15
_FRAMES_SHARE = 0.15
_SHIFT_SHARE = 0.03


def augment(features: Tensor, frames: Tensor, random: torch.Generator) -> Tensor:
    """Shift each window's spectrum by a few bins, then hide some bins and some frames.

    Args:
        features: (batch, bins, frames) float32, normalised.
        frames: (batch,) valid frames.
        random: a CPU generator: the same numbers whatever the device.

    Returns:
        Like ``features``; they stay zero past the valid frames.
    """
    batch, bins, width = features.shape
    shifted = shift_bins(features, random)
    keep = torch.ones_like(features, dtype=torch.bool)
    for _ in range(_MASKS):
        keep &= ~_span(torch.full((batch,), bins), bins, _BINS_SHARE, random).to(keep.device)[:, :, None]
        keep &= ~_span(frames.cpu(), width, _FRAMES_SHARE, random).to(keep.device)[:, None, :]
    return shifted * keep


def shift_bins(features: Tensor, random: torch.Generator) -> Tensor:
    """Move each window of (batch, bins, frames) up or down by a few bins; what is moved in repeats the edge."""
    batch, bins, _ = features.shape
    most = round(_SHIFT_SHARE * bins)
    shift = torch.randint(-most, most + 1, (batch, 1), generator=random)
    source = (torch.arange(bins) + shift).clamp(0, bins - 1).to(features.device)
    return features.gather(1, source[:, :, None].expand_as(features))


def _span(extent: Tensor, size: int, share: float, random: torch.Generator) -> Tensor:
    """A random span of at most ``share`` of each extent (batch,): (batch, size) bool, True inside."""
    draws = torch.rand((2, len(extent), 1), generator=random)
    width = draws[0] * share * extent[:, None]
    start = draws[1] * (extent[:, None] - width)
    place = torch.arange(size)
    return (place >= start) & (place < start + width)
