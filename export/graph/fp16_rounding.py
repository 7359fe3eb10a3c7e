"""What an fp16 graph answers on a GPU, computed on a CPU: fp32 operators, each result rounded to fp16.

ONNX Runtime has no fp16 kernels for a CPU: it computes in fp32 between casts, and drops most of the casts. A proof on
such a run sees only the rounding of the weights. A GPU sums products in fp32 and writes every result in fp16, as here.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from export.graph.fp16 import HALF

_MOVES = frozenset(
    (
        *("Concat", "Expand", "Flatten", "Gather", "Identity", "MaxPool", "Neg", "Pad"),
        *("Relu", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"),
    )
)
"""Operators whose results need no rounding where their inputs had it."""


def rounded_as_fp16(half: ModelProto) -> ModelProto:
    """A graph in fp32 that rounds as an fp16 one does on a GPU.

    Args:
        half: a graph by ``to_half``; not changed.

    Returns:
        Its copy: constants of fp16 in fp32, a cast to fp16 and back behind each operator that computes in fp16.
    """
    model = ModelProto()
    model.CopyFrom(half)
    graph = model.graph
    nodes = [made for node in graph.node for made in _rounded(node)]
    tensors = [_widened(tensor) for tensor in graph.initializer]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(tensors)
    return model


def _rounded(node: NodeProto) -> Iterator[NodeProto]:
    for attribute in node.attribute:
        if attribute.HasField("t"):
            attribute.t.CopyFrom(_widened(attribute.t))
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT16:
            attribute.i = TensorProto.FLOAT
    names = [name for name in node.output if name.endswith(HALF) and node.op_type not in _MOVES]
    node.output[:] = [f"{name}.exact" if name in names else name for name in node.output]
    yield node
    for name in names:
        yield helper.make_node("Cast", [f"{name}.exact"], [f"{name}.16"], to=TensorProto.FLOAT16)
        yield helper.make_node("Cast", [f"{name}.16"], [name], to=TensorProto.FLOAT)


def _widened(tensor: TensorProto) -> TensorProto:
    if tensor.data_type != TensorProto.FLOAT16:
        return tensor
    return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name)
