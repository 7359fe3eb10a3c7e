"""What is deployed: a classifier from raw samples to answers, one tensor a target, and its embedding if asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from emotions.bundle.targets import Range
from emotions.errors import ExportError


class Deployable(nn.Module):
    """A classifier, its temperature, and softmax; of dimensions its scale and bias, kept in the range.

    Args:
        classifier: ``waveform (batch, W), length (batch,) -> {target: logits (batch, classes)}``.
        targets: in the order of the answers.
        temperature: what logits are divided by, of all targets or of each by name; 1 leaves them as they were trained.
        ranges: of the targets of dimensions, whose outputs are -1 to 1 where the values are from end to end.
        linear: target of dimensions -> scale and bias of each dimension's output; 1 and 0 where it is not named.
        clipped: keep values in their range.
        embedding: answer the input of the output layers, too; ExportError where the last layer is not known.

    Attributes:
        dims: of the embedding; 0 where none is answered.
    """

    def __init__(
        self,
        classifier: nn.Module,
        targets: Sequence[str],
        temperature: float | Mapping[str, float] = 1.0,
        *,
        ranges: Mapping[str, Range] = MappingProxyType({}),
        linear: Mapping[str, Sequence[tuple[float, float]]] = MappingProxyType({}),
        clipped: bool = True,
        embedding: bool = False,
    ) -> None:
        super().__init__()
        self.classifier = classifier
        self.targets = tuple(targets)
        named = temperature if isinstance(temperature, Mapping) else dict.fromkeys(targets, temperature)
        for index, target in enumerate(targets):
            if target in ranges:
                scales, biases = zip(*linear.get(target, [(1.0, 0.0)]), strict=True)
                self.register_buffer(f"scale_{index}", torch.tensor(scales))
                self.register_buffer(f"bias_{index}", torch.tensor(biases))
            else:
                self.register_buffer(f"temperature_{index}", torch.tensor(float(named.get(target, 1.0))))
        self.ranges, self.clipped = dict(ranges), clipped
        self.dims = 0
        self._embeddings: list[Tensor] = []
        if embedding:
            last = _last_layer(classifier)
            self.dims = last.in_features
            last.register_forward_pre_hook(self._keep_input)
        self.eval()

    def _keep_input(self, _: nn.Module, inputs: Any) -> None:
        self._embeddings.append(inputs[0])

    def forward(self, waveform: Tensor, length: Tensor) -> tuple[Tensor, ...]:
        """(batch, W) float32 and (batch,) int64 in; (batch, classes) float32 probabilities of each target out.

        The embedding follows them where it is answered: (batch, dims) float32.
        """
        logits = self.classifier(waveform, length)
        answers = tuple(self._answer(index, target, logits[target]) for index, target in enumerate(self.targets))
        # Popped, not kept: a tensor left on the module would be taken for a constant of the graph.
        return (*answers, self._embeddings.pop()) if self.dims else answers

    def _answer(self, index: int, target: str, outputs: Tensor) -> Tensor:
        if target not in self.ranges:
            return (outputs / self.get_buffer(f"temperature_{index}")).softmax(dim=1)
        low, high = self.ranges[target]
        unit = outputs * self.get_buffer(f"scale_{index}") + self.get_buffer(f"bias_{index}")
        if self.clipped:
            unit = unit.clamp(-1.0, 1.0)
        return unit * ((high - low) / 2) + (low + high) / 2


def _last_layer(classifier: nn.Module) -> nn.Linear:
    """The first of the layers that give logits; all have the same input."""
    layers = dict(classifier.named_modules())
    found = [layer for name, layer in layers.items() if name.endswith(("outputs.0", "classifier"))]
    if not found or not isinstance(found[-1], nn.Linear):
        raise ExportError("this model's last layer is not known, so it has no embedding to export; leave it out")
    return found[-1]
