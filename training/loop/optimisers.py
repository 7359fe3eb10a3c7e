"""Parameter groups and learning rate schedules."""

from __future__ import annotations

import math
from typing import Any, Literal

from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from training.config.learning import LearningRates, LearnParams

WARM_UP = 0.05

_WEIGHT_DECAY = 0.01

Schedule = Literal["cosine", "linear", "constant"]


def build_optimiser(model: nn.Module, learn: LearnParams, steps: int) -> tuple[AdamW, LambdaLR]:
    """AdamW, and a schedule that is stepped after each optimiser step.

    Args:
        model: the model to train.
        learn: learning rates and schedule.
        steps: optimiser steps of the whole run.
    """
    optimiser = AdamW(parameter_groups(model, learn.lr), lr=learn.lr.base_lr)
    return optimiser, LambdaLR(
        optimiser, lambda step: learning_rate_factor(step, steps, learn.warm_up, learn.scheduler)
    )


def parameter_groups(model: nn.Module, rates: LearningRates | None = None) -> list[dict[str, Any]]:
    """Parameter groups: the encoder, the convolutions where they have a rate of their own, and the others.

    Each is split into weights, and norms and biases (whatever has one dimension), which have no weight decay.

    Args:
        model: its frontend's parameters are the encoder, and its head's ``conv_parameters`` the convolutions.
        rates: learning rates; by default those of the config.
    """
    rates = LearningRates() if rates is None else rates
    encoder = {id(each) for name, each in model.named_parameters() if name.startswith("frontend.")}
    conv = _conv_parameters(model) if rates.conv_lr is not None else set()
    parts: dict[str, tuple[list[nn.Parameter], float]] = {
        "base": ([], rates.base_lr),
        "conv": ([], rates.conv_lr or rates.base_lr),
        "encoder": ([], rates.encoder_lr),
    }
    for each in model.parameters():
        if each.requires_grad:
            part = "encoder" if id(each) in encoder else "conv" if id(each) in conv else "base"
            parts[part][0].append(each)
    return [group for name, (own, rate) in parts.items() if own for group in _decay_groups(name, own, rate)]


def _decay_groups(name: str, parameters: list[nn.Parameter], rate: float) -> list[dict[str, Any]]:
    decayed = [each for each in parameters if each.ndim > 1]
    others = [each for each in parameters if each.ndim <= 1]
    return [
        {"name": name, "params": decayed, "lr": rate, "weight_decay": _WEIGHT_DECAY},
        {"name": f"{name}_no_decay", "params": others, "lr": rate, "weight_decay": 0.0},
    ]


def _conv_parameters(model: nn.Module) -> set[int]:
    found = [getattr(module, "conv_parameters", None) for module in model.modules()]
    return {id(parameter) for each in found if each is not None for parameter in each()}


def learning_rate_factor(step: int, steps: int, warm_up: float = WARM_UP, schedule: Schedule = "cosine") -> float:
    """Factor of the learning rate at a step: a linear warm-up, then the schedule.

    Args:
        step: optimiser step, from 0.
        steps: optimiser steps of the whole run.
        warm_up: share of the steps with a rising rate.
        schedule: shape of the decay to 0.
    """
    warm = max(1, round(warm_up * steps)) if warm_up > 0 else 0
    if step < warm:
        return (step + 1) / warm
    progress = min(1.0, (step - warm) / max(1, steps - warm))
    if schedule == "constant":
        return 1.0
    return 1 - progress if schedule == "linear" else 0.5 * (1 + math.cos(math.pi * progress))
