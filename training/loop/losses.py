"""Losses on logits: cross-entropy or focal, each class weighted by how rare it is, summed over the targets.

Every clip counts once, whatever its length: its windows share a weight of 1, as they do in its probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed
from torch.nn.functional import cross_entropy, kl_div

from emotions.audio.windows import IntArray
from training.config.train import TrainStep
from training.corpus import Corpus
from training.data.waveforms.dataset import NO_LABEL, WindowDataset, shares_key
from training.features.feature_dataset import ClipDataset


@dataclass(frozen=True)
class Objective:
    """Form of the loss.

    Attributes:
        gamma: exponent of the focal loss (Lin et al., 2017, arXiv:1708.02002); 0 is cross-entropy.
        smoothing: label smoothing, 0 to 1.
        target_weights: target -> weight of its loss; 1 where it is not named.
    """

    gamma: float = 0.0
    smoothing: float = 0.0
    target_weights: Mapping[str, float] = field(default_factory=dict)


CROSS_ENTROPY = Objective()


@dataclass(frozen=True)
class Distillation:
    """How a teacher's answers count (Hinton, Vinyals and Dean, 2015, arXiv:1503.02531).

    Attributes:
        weight: share of the teacher in the loss, above 0 to 1.
        temperature: what the logarithms of both probabilities are divided by.
        mean_share: mean share of a training window in its clip, unlabelled ones too; None where each counts alike.
    """

    weight: float
    temperature: float
    mean_share: float | None = None


def balanced_weights(classes: IntArray, count: int) -> Tensor:
    """Weight of each class: (count,) float32, clips / (classes * clips of the class), 0 for a class without a clip.

    Args:
        classes: class index of each training clip, ``NO_LABEL`` where it has none.
        count: how many classes there are.
    """
    clips = torch.bincount(torch.as_tensor(classes[classes != NO_LABEL]), minlength=count).float()
    return torch.where(clips > 0, clips.sum() / (count * clips.clamp_min(1)), 0.0)


def loss_sums(
    logits: Mapping[str, Tensor],
    truth: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
    objective: Objective = CROSS_ENTROPY,
    shares: Tensor | None = None,
    mean_shares: Mapping[str, float] | None = None,
) -> Tensor:
    """Sums of the weighted losses of each target's labelled windows, and of their weights: (targets, 2) float32.

    A window's weight is its class's times its share of its clip.

    Args:
        logits: target -> (batch, classes).
        truth: target -> (batch,) class indices, ``NO_LABEL`` where there is none; and by ``shares_key`` (batch,
            classes) shares of the raters, where they are to be learnt: the cross-entropy with them is the
            Kullback-Leibler divergence but for a constant. A window's class is then the majority's, and weighs it as a
            whole, so that no weight bends a distribution.
        weights: target -> (classes,), weight of each class.
        objective: the form of the loss.
        shares: (batch,), share of each window in its clip; 1 by default.
        mean_shares: target -> mean share of the windows that batches are drawn from, which then stands in the second
            sum for each window's own: divided by its own shares, a batch of few short clips would weigh them less.
    """
    rows = []
    for target, values in logits.items():
        labels, weight = truth[target], weights[target]
        known, told = labels.clamp_min(0), truth.get(shares_key(target))
        weighed = torch.where(labels == NO_LABEL, 0.0, weight[known])
        options: dict[str, Any] = {"reduction": "none", "label_smoothing": objective.smoothing}
        if told is None:
            losses = cross_entropy(values.float(), labels, weight, ignore_index=NO_LABEL, **options)
        else:
            losses = weighed * cross_entropy(values.float(), told, **options)
        if objective.gamma > 0:
            answers = values.float().softmax(dim=1)
            right = answers.gather(1, known[:, None])[:, 0] if told is None else (answers * told).sum(dim=1)
            # Away from 1, where the gradient of the power would be infinite for a gamma below 1.
            losses = losses * (1 - right).clamp_min(1e-6) ** objective.gamma
        own = torch.ones_like(weighed) if shares is None else shares.to(weighed.dtype)
        counted = own if mean_shares is None else torch.full_like(own, mean_shares[target])
        rows.append(torch.stack([(losses * own).sum(), (weighed * counted).sum()]))
    return torch.stack(rows) if rows else torch.zeros(0, 2, device=None if shares is None else shares.device)


def mean_loss(sums: Tensor, targets: Mapping[str, object], objective: Objective = CROSS_ENTROPY) -> Tensor:
    """Weighted sum over the targets of the mean losses, () float32; 0 where no window is labelled.

    Args:
        sums: (targets, 2), of ``loss_sums``.
        targets: the targets, in the same order.
        objective: weights of the targets.
    """
    # torch's own mean is 0 / 0 where a batch has no label.
    means = sums[:, 0] / sums[:, 1].clamp_min(torch.finfo(sums.dtype).tiny)
    factors = [objective.target_weights.get(target, 1.0) for target in targets]
    return (means * torch.tensor(factors, device=means.device)).sum()


def _shared(sums: Tensor) -> Tensor:
    """Scale sums so that their mean loss, averaged over the processes as DDP does, is that of the whole batch."""
    processes = distributed.get_world_size() if distributed.is_initialized() else 1
    if processes == 1:
        return sums
    weights = sums[:, 1].detach().clone()
    distributed.all_reduce(weights)
    return torch.stack([sums[:, 0], weights / processes], dim=1)


def total_loss(
    logits: Mapping[str, Tensor],
    truth: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
    objective: Objective = CROSS_ENTROPY,
    shares: Tensor | None = None,
    mean_shares: Mapping[str, float] | None = None,
) -> Tensor:
    """Weighted sum over the targets of the mean loss of the labelled windows, () float32; 0 for a target without any.

    Arguments as ``loss_sums``; in a distributed run the mean is over the batches of all processes.
    """
    sums = loss_sums(logits, truth, weights, objective, shares, mean_shares)
    return mean_loss(_shared(sums), logits, objective)


def distillation_loss(
    logits: Mapping[str, Tensor],
    answers: Mapping[str, Tensor],
    distillation: Distillation,
    objective: Objective = CROSS_ENTROPY,
    shares: Tensor | None = None,
) -> Tensor:
    """Weighted sum over the targets of the mean divergence from the teacher, over all windows, () float32.

    The Kullback-Leibler divergence of both answers, softened, times the temperature squared, which keeps the size of
    its gradient. Classes have no weights: the teacher's answers have what it learnt of them.

    Args:
        logits: target -> (batch, classes).
        answers: target -> (batch, classes) probabilities of the teacher.
        distillation: the temperature.
        objective: weights of the targets.
        shares: (batch,), share of each window in its clip; 1 by default.
    """
    rows = []
    for target, values in logits.items():
        known = answers[target].float()
        # A probability may be 0, whose logarithm is not a number.
        own, taught = (each / distillation.temperature for each in (values.float(), known.clamp_min(1e-30).log()))
        losses = kl_div(own.log_softmax(1), taught.log_softmax(1), reduction="none", log_target=True).sum(dim=1)
        counted = torch.ones_like(losses) if shares is None else shares.to(losses.dtype)
        mean = counted if distillation.mean_share is None else torch.full_like(counted, distillation.mean_share)
        rows.append(torch.stack([(losses * counted).sum() * distillation.temperature**2, mean.sum()]))
    return mean_loss(_shared(torch.stack(rows)), logits, objective)


def distillation_of(step: TrainStep, corpus: Corpus) -> Distillation | None:
    """How the answers of a step's teacher count; None where nothing teaches.

    Args:
        step: weight, temperature and sampling.
        corpus: the data; its training windows are counted.
    """
    if step.teacher is None or corpus.answers is None:
        return None
    balanced = step.learn_params.sampling == "balanced"
    mean = None if balanced else len(corpus.train.clips) / len(corpus.train)
    return Distillation(step.teacher.weight, step.teacher.temperature, mean)


def mean_shares(part: ClipDataset) -> dict[str, float]:
    """Mean share of a labelled window in its clip, of each target: its labelled clips over their windows.

    Args:
        part: what batches are drawn from.
    """
    windows = part if isinstance(part, WindowDataset) else part.windows
    counts = np.array([len(windows.windows_of(clip)) for clip in range(len(windows.clips))])
    labelled = {target: windows.classes(target) != NO_LABEL for target in windows.targets}
    return {target: float(known.sum() / max(1, counts[known].sum())) for target, known in labelled.items()}


def class_weights(step: TrainStep, corpus: Corpus) -> dict[str, Tensor]:
    """Weight of each class in the loss: target -> (classes,) float32.

    Even for the first target where the sampling balances it already.

    Args:
        step: the settings.
        corpus: the data; its training part is counted.
    """
    learn = step.learn_params
    weights = {}
    for number, (target, labels) in enumerate(corpus.spec.labels.items()):
        even = learn.class_weights != "balanced" or (number == 0 and learn.sampling == "balanced")
        counts = len(labels)
        weights[target] = torch.ones(counts) if even else balanced_weights(corpus.train.classes(target), counts)
    return weights
