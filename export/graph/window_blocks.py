"""Windows of any length in whole blocks, on which models of functionals compute.

Their descriptors put zeros behind a window until it has whole blocks (``Descriptors.samples_for``). Traced from there,
each size in the graph is a nest of quotients of the window's samples, over which torch's exporter takes three times as
long as over multiples of a number of blocks. So it is given whole blocks, and the zeros are put before its graph.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from onnx import GraphProto, helper, numpy_helper
from torch import nn

from training.models.frontends.descriptors import AFTER, BLOCK_SAMPLES, Descriptors

WHOLE = "waveform.whole"
"""Name of the padded windows."""

_FEWEST = 3  # blocks; torch takes a number of blocks that is 0 or 1 for a constant


@contextlib.contextmanager
def whole_blocks(model: nn.Module, window: int) -> Iterator[bool]:
    """Let a model take windows that have whole blocks already until the block ends.

    Args:
        model: any model.
        window: samples of the longest window.

    Yields:
        Whether it computes on blocks: other models, and those of fewer than three blocks, take windows as they are.
    """
    few = window < _FEWEST * BLOCK_SAMPLES
    found = [module for module in model.modules() if isinstance(module, Descriptors) and not few]
    for descriptors in found:
        descriptors.pads = False
    try:
        yield bool(found)
    finally:
        for descriptors in found:
            descriptors.pads = True


def pad_to_blocks(graph: GraphProto, window: int, samples: str) -> None:
    """Let a graph of whole blocks take windows of any length: zeros first, as ``Descriptors.samples_for`` says.

    Args:
        graph: changed; its first input is the waveform.
        window: samples of the longest window.
        samples: name of the free axis.
    """
    waveform = graph.input[0]
    for node in graph.node:
        node.input[:] = [WHOLE if name == waveform.name else name for name in node.input]
    waveform.type.tensor_type.shape.dim[1].dim_param = samples
    numbers = {"none": 0, "block": BLOCK_SAMPLES, "spare": window - AFTER, "window": window}
    constants = {f"{WHOLE}.{name}": np.array([value], np.int64) for name, value in numbers.items()}
    constants[f"{WHOLE}.before"] = np.zeros(3, np.int64)
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    steps: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("Shape", [waveform.name], "given", {"start": 1, "end": 2}),
        ("Sub", [".spare", ".given"], "behind", {}),
        ("Div", [".behind", ".block"], "quotient", {}),
        ("Max", [".quotient", ".none"], "blocks", {}),
        ("Mul", [".blocks", ".block"], "cut", {}),
        ("Sub", [".window", ".cut"], "size", {}),
        ("Sub", [".size", ".given"], "zeros", {}),
        ("Concat", [".before", ".zeros"], "pads", {"axis": 0}),
        ("Pad", [waveform.name, ".pads"], "", {}),
    ]
    nodes = [
        helper.make_node(
            kind,
            [f"{WHOLE}{name}" if name.startswith(".") else name for name in inputs],
            [f"{WHOLE}.{output}" if output else WHOLE],
            name=f"{WHOLE}.{kind}.{number}",
            **settings,
        )
        for number, (kind, inputs, output, settings) in enumerate(steps)
    ]
    others = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *others])
