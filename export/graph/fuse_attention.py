"""Attention as one node, for which ONNX Runtime has a kernel on CPUs and GPUs.

When it loads a graph, ONNX Runtime fuses GELU with its bias and layer norm with its sum, but not attention.
"""

from __future__ import annotations

import contextlib
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
_HEADS_FIRST, _TRANSPOSED = [0, 2, 1, 3], [0, 2, 3, 1]
_RANK = 3


@dataclass(frozen=True)
class _Attention:
    """Attention that is spelt out in a graph: names of its inputs and its output, and the settings of its node."""

    query: str
    key: str
    value: str
    biases: tuple[str, ...]
    output: str
    heads: int
    scale: float


def fuse_attention(model: ModelProto) -> int:
    """Put one node in place of the dozen that spell attention out; answers stay the same up to rounding.

    Args:
        model: a graph as the exporter gives it, with the shapes of its values; changed in place.

    Returns:
        How many were found.
    """
    found = {attention.output: attention for attention in _Finder(model).found()}
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


class _Mismatch(Exception):
    """A node is not what attention has in its place."""


def _require(condition: bool) -> None:
    if not condition:
        raise _Mismatch


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
                try:
                    attention = self._around(node)
                except _Mismatch:
                    continue
                yield attention

    def _around(self, softmax: NodeProto) -> _Attention:
        product, scale, biases = self._scores(softmax.input[0])
        query, heads, query_scale = self._heads(product.input[0], _HEADS_FIRST)
        key, key_heads, key_scale = self._heads(product.input[1], _TRANSPOSED)
        mixed = self._only_user(softmax, "MatMul")
        value, value_heads, value_scale = self._heads(mixed.input[1], _HEADS_FIRST)
        steps_first = self._only_user(mixed, "Transpose")
        joined = self._only_user(steps_first, "Reshape")
        _require(mixed.input[0] == softmax.output[0] and attribute(steps_first, "perm") == _HEADS_FIRST)
        _require(value_scale == 1 and heads == key_heads == value_heads)
        _require(len(self.shapes.get(joined.output[0], ())) == _RANK)
        return _Attention(query, key, value, biases, joined.output[0], heads, scale * query_scale * key_scale)

    def _only_user(self, node: NodeProto, kind: str) -> NodeProto:
        users = self.users.get(node.output[0], [])
        _require(len(users) == 1 and users[0].op_type == kind)
        return users[0]

    def _maker(self, name: str) -> NodeProto:
        _require(name in self.makers)
        maker: NodeProto = self.makers[name]
        return maker

    def _scores(self, name: str) -> tuple[NodeProto, float, tuple[str, ...]]:
        """What softmax is taken of: the product of query and key, what it is multiplied by, biases added to it."""
        node = self._maker(name)
        _require(len(self.users.get(name, ())) == 1)
        if node.op_type == "MatMul":
            return node, 1.0, ()
        if node.op_type == "Mul":
            product, scale, biases = self._scores(node.input[0])
            _require(not biases)
            return product, scale * self._number(node.input[1]), ()
        _require(node.op_type == "Add")
        for summed, bias in (node.input, reversed(node.input)):
            if len(self.shapes.get(bias, ())) == len(_HEADS_FIRST):
                with contextlib.suppress(_Mismatch):
                    product, scale, biases = self._scores(summed)
                    return product, scale, (*biases, bias)
        raise _Mismatch

    def _heads(self, name: str, order: list[int]) -> tuple[str, int, float]:
        """The value (batch, steps, dims) that is split into heads, how many, and what they are multiplied by."""
        node, scale = self._maker(name), 1.0
        if node.op_type == "Mul":
            node, scale = self._maker(node.input[0]), self._number(node.input[1])
        _require(node.op_type == "Transpose" and attribute(node, "perm") == order)
        split, parts = self._maker(node.input[0]), self.shapes.get(node.input[0], ())
        whole = self.shapes.get(split.input[0], ())
        _require(split.op_type == "Reshape" and len(parts) == len(order) and len(whole) == _RANK)
        count, dims = parts[2:]
        _require(isinstance(count, int) and isinstance(dims, int))
        _require(whole[2] == int(count) * int(dims))
        return split.input[0], int(count), scale

    def _number(self, name: str) -> float:
        tensor = self.constants.get(name, TensorProto())
        _require(tensor.data_type == TensorProto.FLOAT)
        values = numpy_helper.to_array(tensor)
        _require(values.size == 1)
        return float(values.reshape(()))


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
    output, biases = attention.output, attention.biases
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
    settings: dict[str, Any] = {"num_heads": attention.heads, "scale": attention.scale}
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
