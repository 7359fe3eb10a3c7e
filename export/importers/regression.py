"""Models of quantities, such as arousal, as sources of bundles with dimensions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from export.huggingface.classifiers import labels_of
from export.sources import Source
from training.models.frontends.hub import Checkpoint

TARGET = "affect"
"""What dimensions are of, unless the user says."""
NAMES = frozenset({"arousal", "valence", "dominance", "activation"})
"""Labels that are quantities: a model of them is a regression."""
RANGE = (0.0, 1.0)
"""What published models were trained on; their values may lie outside, and are left there."""


def dimensions_of(settings: Mapping[str, Any], checkpoint: Checkpoint, named: Sequence[str] = ()) -> list[str] | None:
    """The dimensions of a regression, in the order of its outputs, or None where a config.json is of no regression.

    Args:
        settings: its content.
        checkpoint: for errors; ConfigError where a regression names no dimensions.
        named: what the user says that they are.
    """
    labels = settings.get("id2label")
    known = {str(label).lower() for label in labels.values()} if isinstance(labels, dict) else set()
    if settings.get("problem_type") != "regression" and not (known and known <= NAMES):
        return None
    return [*named] or labels_of(settings, checkpoint, least=1)


def regression(source: Source, outputs: Callable[[Tensor, Tensor], Tensor]) -> Source:
    """A source whose outputs are values on 0 to 1, left as they are beyond.

    Args:
        source: as for a classifier.
        outputs: what the original answers for one clip before any softmax: (1, samples) and (1,) to (1, dimensions).
    """
    (target,) = source.targets
    return replace(
        source,
        classifier=_Unscaled(source.classifier, target).eval(),
        original=_Values(outputs, target),
        ranges={target: RANGE},
        clipped=False,
    )


class _Unscaled(nn.Module):
    """Values on -1 to 1, from which a bundle's graph brings them to their range."""

    def __init__(self, network: nn.Module, target: str) -> None:
        super().__init__()
        self.network, self.target = network, target

    def forward(self, waveform: Tensor, length: Tensor) -> dict[str, Tensor]:
        low, high = RANGE
        return {self.target: (self.network(waveform, length)[self.target] - low) * (2 / (high - low)) - 1}


class _Values(nn.Module):
    """The original's values of a clip alone."""

    def __init__(self, outputs: Callable[[Tensor, Tensor], Tensor], target: str) -> None:
        super().__init__()
        self.outputs, self.targets = outputs, (target,)

    def forward(self, waveform: Tensor, length: Tensor) -> tuple[Tensor, ...]:
        return (self.outputs(waveform, length),)
