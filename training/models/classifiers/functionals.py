"""``FunctionalsClassifier``: an ensemble of small, strongly regularised networks on functionals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.config.architectures import FunctionalsArchitecture
from training.config.train import ModelSpec
from training.models.base import Classifier, Head, Logits
from training.models.frontends.functionals import Functionals

if TYPE_CHECKING:
    from training.models.frontends.functionals_and_encoder import FunctionalsAndEncoder

_MIN_DEVIATION = 0.05
"""Of functionals, whose units make it a twentieth of what speech has."""
_MIN_OTHER_DEVIATION = 1e-3
"""Of an encoder's states, whose scales are what they are."""
# In deviations: beyond, a functional is an outlier and its exact value carries no information.
_FARTHEST = 4.0


class Standardised(nn.Module):
    """Standardise each dim by the running mean and deviation of all training windows; clip at four deviations.

    Unlike batch norm it does the same while training as afterwards. Statistics are gathered from training batches as
    they are (Chan, Golub and LeVeque, 1983): mixup, which comes later, would shrink the deviation.

    Args:
        dims: values of a window.
        functionals: how many of them, the first, are functionals; by default all.
    """

    least: Tensor
    count: Tensor
    mean: Tensor
    squares: Tensor

    def __init__(self, dims: int, functionals: int | None = None) -> None:
        super().__init__()
        least = torch.full((dims,), _MIN_DEVIATION)
        least[dims if functionals is None else functionals :] = _MIN_OTHER_DEVIATION
        self.register_buffer("least", least, persistent=False)
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(dims))
        self.register_buffer("squares", torch.zeros(dims))

    def forward(self, values: Tensor) -> Tensor:
        """(batch, dims) in and out."""
        deviation = torch.maximum((self.squares / self.count.clamp_min(1)).sqrt(), self.least)
        return ((values - self.mean) / deviation).clamp(-_FARTHEST, _FARTHEST)

    def observe(self, values: Tensor) -> None:
        """Add the windows of a batch, (batch, dims), to the statistics."""
        mean, count = values.mean(dim=0), values.shape[0]
        total = self.count + count
        step = mean - self.mean
        self.squares += ((values - mean) ** 2).sum(dim=0) + step * step * self.count * count / total
        self.mean += step * count / total
        self.count.copy_(total)


class FunctionalsHead(Head):
    """Small networks side by side, each with a hidden layer and dropout of its own; their logits are averaged.

    Most of each member's inputs are dropped, so that members rely on different functionals. Their layers are stored as
    one: in evaluation mode the ensemble is a single network.

    Args:
        dims: statistics of a window.
        architecture: sizes and dropout.
        targets: target -> number of classes.
        functionals: how many of them, the first, are functionals; by default all.
    """

    any_length = True  # a window is one vector

    def __init__(
        self,
        dims: int,
        architecture: FunctionalsArchitecture,
        targets: Mapping[str, int],
        functionals: int | None = None,
    ) -> None:
        super().__init__()
        self.members = architecture.members
        self.dropout, self.input_dropout = architecture.dropout, architecture.input_dropout
        size = self.members * architecture.layer_1_size
        self.standardised = Standardised(dims, functionals)
        self.hidden = nn.Linear(dims, size)
        self.outputs = nn.ModuleList([nn.Linear(size, classes) for classes in targets.values()])
        self.targets = tuple(targets)
        _initialise(self.hidden, dims)
        for layer in self.outputs:
            _initialise(layer, architecture.layer_1_size)

    def observe(self, features: Tensor) -> None:
        """Add a batch to the statistics that it is standardised by."""
        self.standardised.observe(features.detach().squeeze(2))

    def forward(self, features: Tensor, frames: Tensor) -> Logits:  # noqa: ARG002 - a window is one frame
        """(batch, dims, 1) functionals in; target -> (batch, classes) logits out."""
        standardised = self.standardised(features.squeeze(2))
        hidden = functional.dropout(torch.relu(self._hidden(standardised)), self.dropout, self.training) / self.members
        return {target: layer(hidden) for target, layer in zip(self.targets, self.outputs, strict=True)}

    def _hidden(self, standardised: Tensor) -> Tensor:
        """(batch, dims) to (batch, members * size); while training, each member receives a part of its own."""
        if not self.training:
            hidden: Tensor = self.hidden(standardised)
            return hidden
        parts = functional.dropout(standardised.expand(self.members, -1, -1), self.input_dropout)
        weight = self.hidden.weight.view(self.members, -1, standardised.shape[1])
        return torch.matmul(parts, weight.transpose(1, 2)).transpose(0, 1).flatten(1) + self.hidden.bias


def _initialise(layer: nn.Module, inputs: int) -> None:
    """Weights of variance 1 / inputs of one member, zero bias."""
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=inputs**-0.5) if parameter.ndim > 1 else nn.init.zeros_(parameter)


def build_functionals(spec: ModelSpec, architecture: FunctionalsArchitecture) -> Classifier:
    """Build a ``FunctionalsClassifier``."""
    with torch.device("cpu"):  # its tables are computed from each other, also where the rest has shapes alone
        functionals = Functionals(spec.window_samples, spec.features)
    if architecture.encoder is None:
        return Classifier(functionals, FunctionalsHead(functionals.dims, architecture, spec.classes))
    frontend = _beside(functionals, spec, architecture, architecture.encoder)
    return Classifier(frontend, FunctionalsHead(frontend.dims, architecture, spec.classes, functionals.dims))


def _beside(
    functionals: Functionals, spec: ModelSpec, architecture: FunctionalsArchitecture, name: str
) -> FunctionalsAndEncoder:
    # transformers is slow to import
    from training.models.frontends.encoder_frontend import build_frontend
    from training.models.frontends.functionals_and_encoder import EncoderStatistics, FunctionalsAndEncoder

    encoder = build_frontend(spec, name, architecture.embedding)
    return FunctionalsAndEncoder(functionals, EncoderStatistics(encoder, architecture.pooling))
