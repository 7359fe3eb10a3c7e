"""Losses on values: 1 - CCC over a batch, or the mean squared or absolute error, of the values that are known."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

DimensionLoss = Literal["ccc", "mse", "mae"]
_TINY = 1e-6


def dimension_loss(values: Tensor, truth: Tensor, shares: Tensor | None = None, form: DimensionLoss = "ccc") -> Tensor:
    """Mean over the dimensions, () float32; 0 where no value is known.

    Args:
        values: (batch, dimensions), where the range is -1 to 1.
        truth: the same, NaN where it is not known.
        shares: (batch,) share of each window in its clip, its weight; 1 by default.
        form: of the loss. 1 - CCC (Lin, 1989) is of the batch as a whole; in a distributed run of each process's part.
    """
    known = ~torch.isnan(truth)
    weight = (
        known.float() * (torch.ones(len(truth), device=truth.device) if shares is None else shares.float())[:, None]
    )
    total = weight.sum(dim=0)
    there = total > 0
    x, y = torch.where(known, truth, 0.0).float(), values.float()
    share = weight / total.clamp_min(_TINY)
    each = _one_minus_ccc(x, y, share) if form == "ccc" else (share * _off(x - y, form)).sum(dim=0)
    return torch.where(there, each, 0.0).sum() / there.sum().clamp_min(1)


def _off(difference: Tensor, form: DimensionLoss) -> Tensor:
    return difference**2 if form == "mse" else difference.abs()


def _one_minus_ccc(x: Tensor, y: Tensor, share: Tensor) -> Tensor:
    mean_x, mean_y = (share * x).sum(dim=0), (share * y).sum(dim=0)
    var_x, var_y = (share * (x - mean_x) ** 2).sum(dim=0), (share * (y - mean_y) ** 2).sum(dim=0)
    covariance = (share * (x - mean_x) * (y - mean_y)).sum(dim=0)
    return 1 - 2 * covariance / (var_x + var_y + (mean_x - mean_y) ** 2 + _TINY)
