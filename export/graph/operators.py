"""The operators that ONNX Runtime has for a device, from a table: by name, opset and element type.

``python -m export.graph.operators OperatorKernels.md VERSION`` writes the table of the CUDA provider anew, from
the document ``docs/OperatorKernels.md`` of ONNX Runtime's sources at that version, or better from what their own
generator of it, ``tools/python/gen_opkernel_doc.py``, writes for the kernels that an installed ``onnxruntime-gpu`` has
registered.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import onnx
from onnx import ModelProto, NodeProto, TensorProto

from emotions.errors import ExportError
from export.graph.inspect import element_types, graphs_of, inferred_skeleton

TABLE = Path(__file__).with_name("cuda_operators.json")
_PROVIDER = "CUDAExecutionProvider"
_STANDARD = "ai.onnx"
_LAST = 10_000
# ONNX Runtime puts others in their place before it asks for kernels.
_REPLACED = frozenset({"CastLike", "Constant"})
# Answers must not change from call to call.
_RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
_ARGUMENT = re.compile(r"\*(in|out)\*\s*(\w+):\s*\*\*([^*]+)\*\*")
_VERSIONS = re.compile(r"\d+\+?|\[\d+, ?\d+\]")
_TYPES = re.compile(r"\*\*(\w+)\*\*\s*=\s*([^*]+?)(?=<br|$|\*\*)")


@cache
def cuda_operators() -> dict[str, Any]:
    """The table: ``version`` of ONNX Runtime, ``operators`` name -> [{since, until, inputs, types}]."""
    table: dict[str, Any] = json.loads(TABLE.read_text(encoding="utf-8"))
    return table


def check_operators(model: ModelProto) -> None:
    """Make sure that each node of a graph, those in branches too, has a kernel for GPUs.

    Raises:
        ExportError: one has none, by its name, its opset, or the type of what it takes; the node is named.
    """
    opsets = {entry.domain or _STANDARD: entry.version for entry in model.opset_import}
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
    domain = node.domain or _STANDARD
    name = node.op_type if domain == _STANDARD else f"{domain}.{node.op_type}"
    if domain not in (_STANDARD, "com.microsoft"):
        return f"{name} is no standard ONNX operator"
    if node.op_type in _REPLACED:
        return None
    kernels = cuda_operators()["operators"].get(name)
    if kernels is None or node.op_type in _RANDOM:
        return f"ONNX Runtime has no {name} for GPUs"
    opset = opsets.get(domain, 1)
    # A kernel of the operator's last change up to this opset is what runs it.
    changed = _since(node.op_type, opset) if domain == _STANDARD else opset
    fitting = [kernel for kernel in kernels if kernel["since"] <= changed <= kernel["until"]]
    if not fitting:
        return f"ONNX Runtime has no {name} of opset {opset} for GPUs"
    found = [_name(types.get(value, TensorProto.UNDEFINED)) for value in node.input]
    if any(_takes(kernel, found) for kernel in fitting):
        return None
    return f"ONNX Runtime has no {name} of opset {opset} for GPUs that takes {', '.join(filter(None, found))}"


def _since(operator: str, opset: int) -> int:
    return int(onnx.defs.get_schema(operator, opset, "").since_version)


def _name(kind: int) -> str:
    return "" if kind == TensorProto.UNDEFINED else TensorProto.DataType.Name(kind).lower()


def _takes(kernel: Mapping[str, Any], found: list[str]) -> bool:
    """Whether a kernel takes inputs of these types; the last one named stands for any that follow."""
    wanted = kernel["inputs"]
    if not wanted:
        return True
    for index, kind in enumerate(found):
        allowed = kernel["types"].get(wanted[min(index, len(wanted) - 1)])
        if kind and allowed is not None and kind not in allowed:
            return False
    return True


def read_kernels(document: str, version: str) -> dict[str, Any]:
    """The CUDA provider's table from ONNX Runtime's document.

    Args:
        document: the text of docs/OperatorKernels.md.
        version: the release that it is of.

    Raises:
        ExportError: the document has no kernels of the CUDA provider.
    """
    _, _, section = document.partition(f"## Operators implemented by {_PROVIDER}")
    section = section.partition("\n## ")[0]
    operators: dict[str, list[dict[str, Any]]] = {}
    domain, name = _STANDARD, ""
    inputs: list[list[str]] = [[]]
    for row in section.splitlines():
        cells = [cell.strip() for cell in row[1:].split("|")] if row.startswith("|") else [""]
        if cells[0].startswith("**Operator Domain"):
            domain = cells[0].split("*")[-2]
        if len(cells) < 4 or not _VERSIONS.fullmatch(cells[2]):
            continue
        if cells[0]:
            name, inputs = cells[0], _arguments(cells[1])
        key = name if domain == _STANDARD else f"{domain}.{name}"
        operators.setdefault(key, []).extend(_kernels(cells[2], cells[3], inputs))
    if not operators:
        raise ExportError(f"the document holds no operators of {_PROVIDER}")
    return {"version": version, "provider": _PROVIDER, "operators": dict(sorted(operators.items()))}


def _arguments(cell: str) -> list[list[str]]:
    """Names of the inputs' types, for each signature of an operator."""
    signatures = [part for part in cell.split("or<br>") if part]
    return [[kind for way, _, kind in _ARGUMENT.findall(part) if way == "in"] for part in signatures] or [[]]


def _kernels(opsets: str, types: str, signatures: list[list[str]]) -> Iterator[dict[str, Any]]:
    numbers = [int(number) for number in re.findall(r"\d+", opsets)]
    until = _LAST if opsets.endswith("+") else numbers[-1]
    named = {name: sorted(re.findall(r"tensor\((\w+)\)", values)) for name, values in _TYPES.findall(types)}
    for inputs in signatures:
        kept = {name: kinds for name, kinds in named.items() if name in inputs and kinds}
        yield {"since": numbers[0], "until": until, "inputs": inputs, "types": kept}


def main(arguments: list[str]) -> None:
    """Write the table from a document."""
    path, version = arguments
    table = read_kernels(Path(path).read_text(encoding="utf-8"), version)
    operators = ",\n".join(
        f"    {json.dumps(name)}: {json.dumps(kernels)}" for name, kernels in table.pop("operators").items()
    )
    head = json.dumps(table, indent=2)[:-2]
    TABLE.write_text(f'{head},\n  "operators": {{\n{operators}\n  }}\n}}\n', encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
