"""Write the table of the CUDA provider's operators anew: ``python -m tests.export.graph.operator_table FILE VERSION``.

FILE is the document ``docs/OperatorKernels.md`` of ONNX Runtime's sources at that version, or better what their own
generator of it, ``tools/python/gen_opkernel_doc.py``, writes for the kernels that an installed ``onnxruntime-gpu`` has
registered.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from emotions.errors import ExportError
from export.graph import operators
from export.graph.operators import STANDARD_DOMAIN

_PROVIDER = "CUDAExecutionProvider"
_LAST = 10_000
_ARGUMENT = re.compile(r"\*(in|out)\*\s*(\w+):\s*\*\*([^*]+)\*\*")
_VERSIONS = re.compile(r"\d+\+?|\[\d+, ?\d+\]")
_TYPES = re.compile(r"\*\*(\w+)\*\*\s*=\s*([^*]+?)(?=<br|$|\*\*)")


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
    domain, name = STANDARD_DOMAIN, ""
    inputs: list[list[str]] = [[]]
    for row in section.splitlines():
        cells = [cell.strip() for cell in row[1:].split("|")] if row.startswith("|") else [""]
        if cells[0].startswith("**Operator Domain"):
            domain = cells[0].split("*")[-2]
        if len(cells) < 4 or not _VERSIONS.fullmatch(cells[2]):
            continue
        if cells[0]:
            name, inputs = cells[0], _arguments(cells[1])
        key = name if domain == STANDARD_DOMAIN else f"{domain}.{name}"
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
    listed = ",\n".join(
        f"    {json.dumps(name)}: {json.dumps(kernels)}" for name, kernels in table.pop("operators").items()
    )
    head = json.dumps(table, indent=2)[:-2]
    operators.TABLE.write_text(f'{head},\n  "operators": {{\n{listed}\n  }}\n}}\n', encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
