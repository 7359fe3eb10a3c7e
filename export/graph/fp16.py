"""Half precision for GPUs: all after the first learnt layer computes in fp16, the frontend and softmax in fp32.

``onnxruntime.transformers.float16`` (1.31) does not serve: it rounds the samples before the frontend, raises constants
below 6e-8 to that, and writes invalid ONNX (a value with two producers) where several fp32 nodes take an fp16 value.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from emotions.errors import ExportError
from export.graph.inspect import constants, element_types, inferred, learnt_layers

_LARGEST = float(np.finfo(np.float16).max)
# Its sizes are fp32 whatever it resizes.
_KEPT = frozenset({"Resize"})
HALF = ".half"
"""Ending of the names of values in fp16."""


def to_half(model: ModelProto, fixed: Collection[str] = ()) -> ModelProto:
    """A copy of a graph that computes in fp16 from its first learnt layer on; inputs and outputs stay fp32.

    Powers of samples and logarithms of silence leave the range of fp16, so what is before that layer stays fp32.

    Args:
        model: the graph; ExportError where it has branches or loops.
        fixed: names of constants that were not learnt.
    """
    whole = inferred(model)
    _Halver(whole, fixed).convert()
    return whole


class _Halver:
    """Converts a graph in place."""

    def __init__(self, model: ModelProto, fixed: Collection[str]) -> None:
        self.graph = model.graph
        self.types = element_types(self.graph)
        self.constants = constants(self.graph)
        self.learnt = {node.output[0] for node in learnt_layers(self.graph, fixed)}
        self.outputs = {value.name for value in self.graph.output}
        self.below: set[str] = set()
        self.halved: set[str] = set()
        self.made: dict[str, TensorProto] = {}
        self.cast: set[str] = set()

    def convert(self) -> None:
        """Rewrite nodes and constants; forget the types that were inferred."""
        nodes = [made for node in [*self.graph.node] for made in self._converted(node)]
        del self.graph.node[:], self.graph.value_info[:]
        self.graph.node.extend(nodes)
        used = {name for node in nodes for name in node.input}
        kept = [tensor for tensor in (*self.constants.values(), *self.made.values()) if tensor.name in used]
        del self.graph.initializer[:]
        self.graph.initializer.extend(kept)

    def _converted(self, node: NodeProto) -> Iterator[NodeProto]:
        if any(attribute.HasField("g") for attribute in node.attribute):
            raise ExportError(f"node {node.name}: fp16 graphs cannot hold branches or loops ({node.op_type})")
        below = node.output[0] in self.learnt or not self.below.isdisjoint(node.input)
        # A softmax inside the model may be halved; the one that answers gives probabilities, and stays fp32.
        answer = node.op_type == "Softmax" and node.output[0] in self.outputs
        half = below and node.op_type not in _KEPT and not answer
        for index, name in enumerate(node.input):
            yield from self._connected(node, index, name, half)
        if half:
            yield from self._halve(node)
        else:
            yield node
        if below:
            self.below.update(name for name in node.output if self._is_float(name))

    def _is_float(self, name: str) -> bool:
        return self.types.get(name) == TensorProto.FLOAT

    def _connected(self, node: NodeProto, index: int, name: str, half: bool) -> Iterator[NodeProto]:
        """Connect an input in the precision that the node computes in; yields the cast where one is needed first."""
        if not self._is_float(name):
            return
        if half and name in self.constants:
            node.input[index] = self._constant(name)
        elif half:
            node.input[index] = name + HALF
            if name not in self.halved and name + HALF not in self.cast:
                self.cast.add(name + HALF)
                yield _cast(name, name + HALF, TensorProto.FLOAT16)
        elif name in self.halved and name not in self.cast:
            self.cast.add(name)
            yield _cast(name + HALF, name, TensorProto.FLOAT)

    def _halve(self, node: NodeProto) -> Iterator[NodeProto]:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
        answered = []
        for index, name in enumerate(node.output):
            if self._is_float(name):
                self.halved.add(name)
                node.output[index] = name + HALF
                answered += [name] if name in self.outputs else []
        yield node
        for name in answered:
            self.cast.add(name)
            yield _cast(name + HALF, name, TensorProto.FLOAT)

    def _constant(self, name: str) -> str:
        if name not in self.made:
            values = numpy_helper.to_array(self.constants[name]).clip(-_LARGEST, _LARGEST).astype(np.float16)
            self.made[name] = numpy_helper.from_array(values, name + HALF)
        return name + HALF


def _cast(source: str, target: str, to: int) -> NodeProto:
    return helper.make_node("Cast", [source], [target], f"cast_{target}", to=to)
