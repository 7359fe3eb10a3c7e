"""Losses: cross-entropy on logits, summed over the targets, each class weighted by how rare it is."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from emotions.windows import IntArray
from training.data.dataset import NO_LABEL


def balanced_weights(classes: IntArray, count: int) -> Tensor:
    """Weight of each class: (count,) float32, clips / (classes * clips of the class), 0 for a class without a clip.

    Args:
        classes: class index of each training clip, ``NO_LABEL`` where it has none.
        count: how many classes there are.
    """
    clips = torch.bincount(torch.as_tensor(classes[classes != NO_LABEL]), minlength=count).float()
    return torch.where(clips > 0, clips.sum() / (count * clips.clamp_min(1)), 0.0)


def total_loss(logits: Mapping[str, Tensor], truth: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> Tensor:
    """Sum over the targets of the mean cross-entropy of the labelled windows; 0 for a target that labels none.

    Args:
        logits: target -> (batch, classes).
        truth: target -> (batch,) class indices, ``NO_LABEL`` where there is none.
        weights: target -> (classes,), how much an error in each class counts.

    Returns:
        () float32.
    """
    losses = []
    for target, values in logits.items():
        labels, weight = truth[target], weights[target]
        summed = cross_entropy(values, labels, weight, ignore_index=NO_LABEL, reduction="sum")
        # torch's own mean is 0 / 0 where a batch has no label; this one is the same where it has.
        share = torch.where(labels == NO_LABEL, 0.0, weight[labels.clamp_min(0)]).sum()
        losses.append(summed / share.clamp_min(torch.finfo(share.dtype).tiny))
    return torch.stack(losses).sum()
