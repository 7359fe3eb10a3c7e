"""Masks of steps that are valid, and what is normalised over them."""

from __future__ import annotations

import torch
from torch import Tensor


def masked_up_to(length: Tensor, steps: int) -> Tensor:
    """(...) lengths to (..., steps) bool, true before the length."""
    return torch.arange(steps, device=length.device) < length.unsqueeze(-1)


def centred(values: Tensor, length: Tensor) -> Tensor:
    """Bring (..., steps) to mean 0 over the steps before ``length``; zero the others."""
    valid = masked_up_to(length, values.shape[-1])
    count = length.clamp_min(1).unsqueeze(-1).to(values.dtype)
    mean = torch.where(valid, values, 0.0).sum(dim=-1, keepdim=True) / count
    return torch.where(valid, values - mean, 0.0)


def standardised(values: Tensor, length: Tensor, eps: float, lost: int = 0) -> Tensor:
    """Bring (..., steps) to mean 0 and variance 1 over the steps before ``length``; zero the others.

    Args:
        values: (..., steps).
        length: (...) int64.
        eps: added to the variance.
        lost: degrees of freedom that the variance is taken to have lost to the mean.
    """
    around = centred(values, length)
    count = (length - lost).clamp_min(1).unsqueeze(-1).to(values.dtype)
    variance = (around * around).sum(dim=-1, keepdim=True) / count
    return around / (variance + eps).sqrt()
