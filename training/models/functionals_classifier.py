"""``FunctionalsClassifier``: an ensemble of small, strongly regularised networks on functionals."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.architectures import FunctionalsArchitecture
from training.config import ModelSpec
from training.models.base import Classifier, Head, Logits
from training.models.functionals import Functionals

_MIN_DEVIATION = 1e-3
# A functional that lies farther out than this says no more than that it is extreme.
_FARTHEST = 4.0


class Standardised(nn.Module):
    """Each dim less its mean, over its deviation, of all training windows seen so far; cut at four deviations.

    Unlike batch norm it does the same while training as afterwards. Statistics are gathered from training batches
    (Chan, Golub and LeVeque, 1983).

    Args:
        dims: how many.
    """

    count: Tensor
    mean: Tensor
    squares: Tensor

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(dims))
        self.register_buffer("squares", torch.zeros(dims))

    def forward(self, values: Tensor) -> Tensor:
        """(batch, dims) in and out."""
        if self.training:
            self._see(values.detach())
        deviation = (self.squares / self.count.clamp_min(1)).sqrt().clamp_min(_MIN_DEVIATION)
        return ((values - self.mean) / deviation).clamp(-_FARTHEST, _FARTHEST)

    def _see(self, values: Tensor) -> None:
        mean, seen = values.mean(dim=0), values.shape[0]
        total = self.count + seen
        step = mean - self.mean
        self.squares += ((values - mean) ** 2).sum(dim=0) + step * step * self.count * seen / total
        self.mean += step * seen / total
        self.count.copy_(total)


class FunctionalsHead(Head):
    """Networks side by side, each with a hidden layer and dropout of its own; their logits are averaged.

    Most of what each member hears is dropped, so that it has to make do with any part of the functionals.

    Args:
        dims: functionals of a window.
        architecture: sizes and dropout.
        targets: target -> number of classes.
    """

    def __init__(self, dims: int, architecture: FunctionalsArchitecture, targets: Mapping[str, int]) -> None:
        super().__init__()
        members, size = architecture.members, architecture.layer_1_size
        self.dropout, self.input_dropout = architecture.dropout, architecture.input_dropout
        self.standardised = Standardised(dims)
        self.hidden = nn.Parameter(torch.randn(members, dims, size) / dims**0.5)
        self.shift = nn.Parameter(torch.zeros(members, 1, size))
        self.outputs = nn.ParameterList(
            [nn.Parameter(torch.randn(members, size, classes) / size**0.5) for classes in targets.values()]
        )
        self.shifts = nn.ParameterList([nn.Parameter(torch.zeros(classes)) for classes in targets.values()])
        self.targets = tuple(targets)

    def forward(self, features: Tensor, frames: Tensor) -> Logits:  # noqa: ARG002 - a window is one frame
        """(batch, dims, 1) functionals in; target -> (batch, classes) logits out."""
        heard = self.standardised(features.squeeze(2)).unsqueeze(0)
        if self.training:
            heard = functional.dropout(heard.expand(len(self.hidden), -1, -1), self.input_dropout)
        said = functional.dropout(
            torch.relu(torch.matmul(heard, self.hidden) + self.shift), self.dropout, self.training
        )
        parts = zip(self.targets, self.outputs, self.shifts, strict=True)
        return {target: torch.matmul(said, weight).mean(dim=0) + shift for target, weight, shift in parts}


def build_functionals(spec: ModelSpec, architecture: FunctionalsArchitecture) -> Classifier:
    """Build a ``FunctionalsClassifier``."""
    frontend = Functionals(spec.window_samples)
    return Classifier(frontend, FunctionalsHead(frontend.dims, architecture, spec.classes))
