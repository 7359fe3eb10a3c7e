"""Attention as the one node that ONNX Runtime has for it, on CPUs and GPUs, and does not find by itself.

GELU with its bias and layer norm with its sum it finds when it loads a graph, attention it does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from export.graph.inspect import attribute, constants

DOMAIN = "com.microsoft"
OPERATOR = "MultiHeadAttention"
_ONE = "attention.one"
_SQUARE = ".square"
_HEADS_FIRST, _TURNED = [0, 2, 1, 3], [0, 2, 3, 1]
_RANK = 3


@dataclass(frozen=True)
class _Scores:
    """What softmax is taken of: the product of query and key, times a number, plus biases."""

    product: NodeProto
    scale: float
    biases: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Heads:
    """A value (batch, steps, dims) that is split into heads, how many, and the number that they are multiplied by."""

    source: str
    count: int
    scale: float


@dataclass(frozen=True)
class _Attention:
    """Attention as it is spelt out in a graph: names of its inputs, and the node that ends it."""

    query: str
    key: str
    value: str
    heads: int
    scores: _Scores
    last: NodeProto


def fuse_attention(model: ModelProto) -> int:
    """Put one node in place of the dozen that spell attention out; answers stay the same up to rounding.

    Args:
        model: a graph as the exporter gives it, with the shapes of its values; changed in place.

    Returns:
        How many were found.
    """
    found = {attention.last.output[0]: attention for attention in _Finder(model).found()}
    if not found:
        return 0
    nodes: list[NodeProto] = []
    squares: set[str] = set()
    shapes = _shapes(model)
    for node in model.graph.node:
        attention = found.get(node.output[0])
        nodes += [node] if attention is None else _fused(attention, shapes, squares)
    if squares:
        model.graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), _ONE))
    _keep_used(model, nodes)
    model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    return len(found)


class _Finder:
    """Looks for attention in a graph, from each softmax both ways."""

    def __init__(self, model: ModelProto) -> None:
        graph = model.graph
        self.graph, self.shapes, self.constants = graph, _shapes(model), constants(graph)
        self.makers = {output: node for node in graph.node for output in node.output}
        self.users: dict[str, list[NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self.users.setdefault(name, []).append(node)
        for value in graph.output:
            self.users[value.name] = []

    def found(self) -> Iterator[_Attention]:
        """Each attention whose inner values nothing else uses."""
        for node in self.graph.node:
            if node.op_type == "Softmax" and attribute(node, "axis", -1) in (-1, _RANK):
                attention = self._around(node)
                if attention is not None:
                    yield attention

    def _around(self, softmax: NodeProto) -> _Attention | None:
        scores, mixed = self._scores(softmax.input[0]), self._next(softmax, "MatMul")
        turned = None if mixed is None else self._next(mixed, "Transpose")
        last = None if turned is None else self._next(turned, "Reshape")
        if scores is None or mixed is None or turned is None or last is None or mixed.input[0] != softmax.output[0]:
            return None
        query = self._heads(scores.product.input[0], _HEADS_FIRST)
        key = self._heads(scores.product.input[1], _TURNED)
        value = self._heads(mixed.input[1], _HEADS_FIRST)
        if query is None or key is None or value is None or len(self.shapes.get(last.output[0], ())) != _RANK:
            return None
        if attribute(turned, "perm") != _HEADS_FIRST or value.scale != 1 or not query.count == key.count == value.count:
            return None
        scores = _Scores(scores.product, scores.scale * query.scale * key.scale, scores.biases)
        return _Attention(query.source, key.source, value.source, query.count, scores, last)

    def _next(self, node: NodeProto, kind: str) -> NodeProto | None:
        """The only user of a node's answer, if it is of this kind."""
        users = self.users.get(node.output[0], [])
        return users[0] if len(users) == 1 and users[0].op_type == kind else None

    def _scores(self, name: str) -> _Scores | None:
        """Sums of a product of two values and biases of four axes, from the last one back."""
        node = self.makers.get(name)
        if node is None or len(self.users.get(name, ())) != 1:
            return None
        if node.op_type == "MatMul":
            return _Scores(node, 1.0)
        if node.op_type == "Mul":
            scale, inner = self._number(node.input[1]), self._scores(node.input[0])
            plain = inner is not None and not inner.biases
            return _Scores(inner.product, inner.scale * scale) if inner and plain and scale is not None else None
        if node.op_type != "Add":
            return None
        for summed, bias in (node.input, reversed(node.input)):
            inner = self._scores(summed)
            if inner is not None and len(self.shapes.get(bias, ())) == len(_TURNED):
                return _Scores(inner.product, inner.scale, (*inner.biases, bias))
        return None

    def _heads(self, name: str, order: list[int]) -> _Heads | None:
        """What a value (batch, steps, dims) was split into and turned to."""
        node = self.makers.get(name)
        factor = None if node is None or node.op_type != "Mul" else self._number(node.input[1])
        if node is not None and factor is not None:
            node = self.makers.get(node.input[0])
        if node is None or node.op_type != "Transpose" or attribute(node, "perm") != order:
            return None
        split, parts = self.makers.get(node.input[0]), self.shapes.get(node.input[0], ())
        if split is None or split.op_type != "Reshape" or len(parts) != len(order):
            return None
        whole, (*_, count, dims) = self.shapes.get(split.input[0], ()), parts
        if len(whole) != _RANK or not isinstance(count, int) or not isinstance(dims, int) or whole[2] != count * dims:
            return None
        return _Heads(split.input[0], count, 1.0 if factor is None else factor)

    def _number(self, name: str) -> float | None:
        tensor = self.constants.get(name)
        if tensor is None or tensor.data_type != TensorProto.FLOAT:
            return None
        values = numpy_helper.to_array(tensor)
        return float(values.reshape(())) if values.size == 1 else None


def _shapes(model: ModelProto) -> dict[str, tuple[int | str, ...]]:
    """The shape of each value where it is known: numbers, and names of free axes."""
    return {
        value.name: tuple(
            axis.dim_value if axis.HasField("dim_value") else axis.dim_param
            for axis in value.type.tensor_type.shape.dim
        )
        for value in (*model.graph.value_info, *model.graph.input, *model.graph.output)
        if value.type.tensor_type.HasField("shape")
    }


def _fused(attention: _Attention, shapes: dict[str, tuple[int | str, ...]], squares: set[str]) -> Iterator[NodeProto]:
    """The node, after what brings its biases together and, where they are a row a clip, into a square."""
    output, biases = attention.last.output[0], list(attention.scores.biases)
    bias = biases[0] if biases else ""
    rows = bool(biases) and all(shapes[name][2] == 1 for name in biases)
    for number, other in enumerate(biases[1:]):
        summed = f"{output}.bias.{number}"
        yield helper.make_node("Add", [bias, other], [summed], f"node_{summed}")
        bias = summed
    if rows:
        if bias not in squares:
            yield from _squared(bias, attention.query)
            squares.add(bias)
        bias += _SQUARE
    inputs = [attention.query, attention.key, attention.value, *(["", "", bias] if bias else [])]
    settings: dict[str, Any] = {"num_heads": attention.heads, "scale": attention.scores.scale}
    yield helper.make_node(OPERATOR, inputs, [output], f"node_{output}", domain=DOMAIN, **settings)


def _squared(bias: str, query: str) -> Iterator[NodeProto]:
    """(batch, 1, 1, steps) repeated for each step that asks: kernels take no less."""
    steps, shape = f"{bias}.steps", f"{bias}.shape"
    yield helper.make_node("Shape", [query], [steps], f"node_{steps}", start=1, end=2)
    yield helper.make_node("Concat", [_ONE, _ONE, steps, _ONE], [shape], f"node_{shape}", axis=0)
    yield helper.make_node("Expand", [bias, shape], [bias + _SQUARE], f"node_{bias}{_SQUARE}")


def _keep_used(model: ModelProto, nodes: list[NodeProto]) -> None:
    """Leave out nodes, constants and shapes that no answer needs any longer."""
    graph = model.graph
    needed, kept = {value.name for value in graph.output}, list[NodeProto]()
    for node in reversed(nodes):
        if not needed.isdisjoint(node.output):
            needed.update(node.input)
            for each in node.attribute:
                needed.update(name for inner in each.g.node for name in inner.input)
            kept.append(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    made = {name for node in kept for name in node.output}
    _drop(graph.initializer, needed)
    _drop(graph.value_info, made)


def _drop(values: Any, kept: set[str]) -> None:
    """Take out the constants or shapes of other names; one by one, as a copy of the weights is large."""
    for index in reversed(range(len(values))):
        if values[index].name not in kept:
            del values[index]
