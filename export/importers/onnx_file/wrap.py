"""A classifier of one clip as a bundle's graph: each row of a batch is cut to its samples and answered alone.

A graph of somebody else knows of no mask, so any padding that it sees may change its answer. A loop over the rows costs
what a batch would have gained, and is exact.
"""

from __future__ import annotations

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, compose, helper, numpy_helper

from emotions.audio.decode import MIN_SAMPLES
from emotions.bundle.manifest import LENGTH, WAVEFORM
from export.graph.to_onnx import BATCH, SAMPLES, anonymise
from export.importers.onnx_file.resampling import Resampling
from export.importers.onnx_file.signature import Signature

_PREFIX = "model/"
_MIN_IR = 7


def wrapped(
    model: ModelProto,
    signature: Signature,
    target: str,
    classes: int,
    *,
    softmax: bool,
    resampling: Resampling,
    shortest: int = MIN_SAMPLES,
) -> ModelProto:
    """The graph of a bundle.

    Args:
        model: the classifier.
        signature: what it takes and gives.
        target: name of the output.
        classes: how many it has.
        softmax: its scores are logits.
        resampling: to its sampling rate.
        shortest: samples that it needs; shorter clips are filled up with zeros.
    """
    inner = compose.add_prefix(model, _PREFIX)
    numbers = {"zero": 0, "one": 1, "shortest": shortest, "classes": classes}
    constants = [numpy_helper.from_array(np.array([value], np.int64), f"own.{name}") for name, value in numbers.items()]
    constants += [
        numpy_helper.from_array(np.array(True), "own.always"),
        numpy_helper.from_array(np.zeros(shortest, np.float32), "own.silence"),
    ]
    nodes = [
        helper.make_node("Shape", [WAVEFORM], ["own.shape"]),
        helper.make_node("Slice", ["own.shape", "own.zero", "own.one"], ["own.rows"]),
        helper.make_node("Squeeze", ["own.rows", "own.zero"], ["own.count"]),
        helper.make_node(
            "Loop", ["own.count", "own.always"], ["own.scores"], body=_row(inner.graph, signature, resampling)
        ),
        helper.make_node("Softmax", ["own.scores"], ["own.probabilities"], axis=1),
        helper.make_node("Identity", ["own.probabilities" if softmax else "own.scores"], [target]),
    ]
    nodes = nodes if softmax else [node for node in nodes if node.op_type != "Softmax"]
    inputs = [
        helper.make_tensor_value_info(WAVEFORM, TensorProto.FLOAT, [BATCH, SAMPLES]),
        helper.make_tensor_value_info(LENGTH, TensorProto.INT64, [BATCH]),
    ]
    outputs = [helper.make_tensor_value_info(target, TensorProto.FLOAT, [BATCH, classes])]
    graph = helper.make_graph(
        nodes, "classifier", inputs, outputs, [*inner.graph.initializer, *constants, *resampling.constants()]
    )
    whole = helper.make_model(graph, opset_imports=model.opset_import, ir_version=max(model.ir_version, _MIN_IR))
    anonymise(whole)
    return whole


def _row(inner: GraphProto, signature: Signature, resampling: Resampling) -> GraphProto:
    """The body of the loop: one row, without what lies past its end."""
    axes = {2: ["own.zero"], 3: ["own.zero", "own.one"]}.get(signature.rank, [])
    shaped = [f"own.clip{number}" for number in range(len(axes))] + [_PREFIX + signature.input]
    nodes: list[NodeProto] = [
        helper.make_node("Gather", [WAVEFORM, "own.number"], ["own.samples"], axis=0),
        helper.make_node("Gather", [LENGTH, "own.number"], ["own.end"], axis=0),
        helper.make_node("Unsqueeze", ["own.end", "own.zero"], ["own.ends"]),
        helper.make_node("Slice", ["own.samples", "own.zero", "own.ends", "own.zero"], ["own.cut"]),
        helper.make_node("Concat", ["own.cut", "own.silence"], ["own.longer"], axis=0),
        helper.make_node("Max", ["own.ends", "own.shortest"], ["own.needed"]),
        helper.make_node("Slice", ["own.longer", "own.zero", "own.needed", "own.zero"], ["own.clip"]),
        *resampling.nodes("own.clip", shaped[0]),
    ]
    nodes += [helper.make_node("Unsqueeze", [shaped[n], axis], [shaped[n + 1]]) for n, axis in enumerate(axes)]
    nodes += [
        *inner.node,
        helper.make_node("Reshape", [_PREFIX + signature.output, "own.classes"], ["own.row_scores"]),
        helper.make_node("Identity", ["own.go_on"], ["own.goes_on"]),
    ]
    inputs = [
        helper.make_tensor_value_info("own.number", TensorProto.INT64, []),
        helper.make_tensor_value_info("own.go_on", TensorProto.BOOL, []),
    ]
    outputs = [
        helper.make_tensor_value_info("own.goes_on", TensorProto.BOOL, []),
        helper.make_tensor_value_info("own.row_scores", TensorProto.FLOAT, ["own.classes"]),
    ]
    return helper.make_graph(nodes, "row", inputs, outputs)
