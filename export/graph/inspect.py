"""Looking through an ONNX graph: its constants, who makes and who uses a value, and where its learnt layers are."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto

_FEW = 64
# A layer with fewer input values is not worth quantising.
_MIN_INPUTS = 8


def inferred(model: ModelProto) -> ModelProto:
    """A copy in which every value has a type and, where it can be inferred, a shape; for models of any size."""
    whole = ModelProto()
    whole.CopyFrom(model)
    del whole.graph.value_info[:]
    whole.graph.value_info.extend(inferred_skeleton(model).graph.value_info)
    return whole


def inferred_skeleton(model: ModelProto) -> ModelProto:
    """``inferred`` of the model's skeleton: ONNX copies the model that it infers, and takes no more than 2 GiB."""
    return onnx.shape_inference.infer_shapes(skeleton(model), check_type=True, data_prop=True)


def skeleton(model: ModelProto) -> ModelProto:
    """A copy without weights: each constant of more than a few values is an input instead."""
    small = [tensor for tensor in model.graph.initializer if math.prod(tensor.dims) <= _FEW]
    light = without_constants(model, small)
    for tensor in model.graph.initializer:
        if math.prod(tensor.dims) > _FEW:
            light.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    return light


def without_constants(model: ModelProto, tensors: Iterable[TensorProto]) -> ModelProto:
    """A copy with other constants; the model's own, which may be large, are never copied.

    Args:
        model: the graph.
        tensors: constants of the copy.
    """
    light = ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions)
    light.producer_name, light.producer_version = model.producer_name, model.producer_version
    graph = light.graph
    graph.name = model.graph.name
    for name in ("node", "input", "output", "value_info", "sparse_initializer"):
        getattr(graph, name).extend(getattr(model.graph, name))
    graph.initializer.extend(tensors)
    return light


def element_types(graph: GraphProto) -> dict[str, int]:
    """Element type of each value, by name."""
    typed = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for value in (*graph.input, *graph.output, *graph.value_info):
        typed[value.name] = value.type.tensor_type.elem_type
    return typed


def constants(graph: GraphProto) -> dict[str, TensorProto]:
    """The graph's constants by name."""
    return {tensor.name: tensor for tensor in graph.initializer}


def graphs_of(graph: GraphProto) -> Iterator[GraphProto]:
    """The graph and those inside its nodes, such as the branches of a condition."""
    yield graph
    for node in graph.node:
        for each in node.attribute:
            if each.HasField("g"):
                yield from graphs_of(each.g)


def attribute(node: NodeProto, name: str, default: Any = None) -> Any:
    """The value of a node's attribute.

    Args:
        node: the node.
        name: of the attribute.
        default: its value where the node does not have it.
    """
    return next((onnx.helper.get_attribute_value(each) for each in node.attribute if each.name == name), default)


def learnt_layers(graph: GraphProto, fixed: Collection[str]) -> Iterator[NodeProto]:
    """Linear layers and convolutions of learnt weights, in order.

    Args:
        graph: a graph.
        fixed: names of constants that were not learnt, such as a Fourier basis: what uses them is the frontend.

    Yields:
        Nodes whose second input is a constant: MatMul (inputs, outputs), Gemm, Conv of one or two dimensions. The first
        convolution on raw samples has one channel and is the frontend, too.
    """
    known = constants(graph)
    for node in graph.node:
        weight = known.get(node.input[1]) if len(node.input) > 1 else None
        if weight is None or weight.name in fixed or weight.data_type != TensorProto.FLOAT:
            continue
        if _is_linear(node, weight) or _is_convolution(node, weight):
            yield node


def _is_linear(node: NodeProto, weight: TensorProto) -> bool:
    if node.op_type == "MatMul":
        return len(weight.dims) == 2 and int(weight.dims[0]) >= _MIN_INPUTS
    return node.op_type == "Gemm" and int(weight.dims[attribute(node, "transB", 0)]) >= _MIN_INPUTS


def _is_convolution(node: NodeProto, weight: TensorProto) -> bool:
    return node.op_type == "Conv" and (len(weight.dims) == 4 or int(weight.dims[1]) >= _MIN_INPUTS)
