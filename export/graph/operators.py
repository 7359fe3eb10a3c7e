"""The operators that ONNX Runtime has for a device, from a table: by name, opset and element type.

``python -m tests.export.graph.operator_table`` writes the table of the CUDA provider anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import onnx
from onnx import ModelProto, NodeProto, TensorProto

from emotions.errors import ExportError
from export.graph.inspect import element_types, graphs_of, inferred_skeleton

TABLE = Path(__file__).with_name("cuda_operators.json")
STANDARD_DOMAIN = "ai.onnx"
# ONNX Runtime puts others in their place before it asks for kernels.
_REPLACED = frozenset({"CastLike", "Constant"})
# Answers must not change from call to call.
_RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)


@cache
def cuda_operators() -> dict[str, Any]:
    """The table: ``version`` of ONNX Runtime, ``operators`` name -> [{since, until, inputs, types}]."""
    table: dict[str, Any] = json.loads(TABLE.read_text(encoding="utf-8"))
    return table


def check_operators(model: ModelProto) -> None:
    """Raise ExportError, naming the node, where one, in a branch too, has no kernel of its opset and type for GPUs."""
    opsets = {entry.domain or STANDARD_DOMAIN: entry.version for entry in model.opset_import}
    typed = inferred_skeleton(model)
    types = element_types(typed.graph)
    for graph in graphs_of(typed.graph):
        types.update(element_types(graph))
    for graph in graphs_of(typed.graph):
        for node in graph.node:
            fault = _fault(node, opsets, types)
            if fault:
                raise ExportError(f"node {node.name}: {fault}; write the model without it")


def _fault(node: NodeProto, opsets: Mapping[str, int], types: Mapping[str, int]) -> str | None:
    domain = node.domain or STANDARD_DOMAIN
    name = node.op_type if domain == STANDARD_DOMAIN else f"{domain}.{node.op_type}"
    if domain not in (STANDARD_DOMAIN, "com.microsoft"):
        return f"{name} is no standard ONNX operator"
    if node.op_type in _REPLACED:
        return None
    kernels = cuda_operators()["operators"].get(name)
    if kernels is None or node.op_type in _RANDOM:
        return f"ONNX Runtime has no {name} for GPUs"
    opset = opsets.get(domain, 1)
    # A kernel of the operator's last change up to this opset is what runs it.
    standard = domain == STANDARD_DOMAIN
    changed = int(onnx.defs.get_schema(node.op_type, opset, "").since_version) if standard else opset
    fitting = [kernel for kernel in kernels if kernel["since"] <= changed <= kernel["until"]]
    if not fitting:
        return f"ONNX Runtime has no {name} of opset {opset} for GPUs"
    found = [_name(types.get(value, TensorProto.UNDEFINED)) for value in node.input]
    if any(_takes(kernel, found) for kernel in fitting):
        return None
    return f"ONNX Runtime has no {name} of opset {opset} for GPUs that takes {', '.join(filter(None, found))}"


def _name(kind: int) -> str:
    return "" if kind == TensorProto.UNDEFINED else TensorProto.DataType.Name(kind).lower()


def _takes(kernel: Mapping[str, Any], found: list[str]) -> bool:
    """Whether a kernel takes inputs of these types; the last one named stands for any that follow."""
    kinds = kernel["inputs"]
    if not kinds:
        return True
    for index, kind in enumerate(found):
        allowed = kernel["types"].get(kinds[min(index, len(kinds) - 1)])
        if kind and allowed is not None and kind not in allowed:
            return False
    return True
