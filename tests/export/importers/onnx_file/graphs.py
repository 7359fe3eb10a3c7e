"""Small ONNX classifiers of a waveform, each of which would change its answer with padding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

LABELS = ("angry", "calm", "sad")
CHANNELS, KERNEL, STRIDE = 8, 320, 160


def make_model(
    *,
    shape: list[Any] | None = None,
    scores: list[Any] | None = None,
    softmax: bool = False,
    opset: int = 17,
    extra: list[NodeProto] | None = None,
    **changes: Any,
) -> ModelProto:
    """A convolution, the mean of its frames, and one layer.

    Args:
        shape: of the input, by default [batch, samples].
        scores: shape of the output.
        softmax: it answers probabilities.
        opset: of the graph.
        extra: nodes in front.
        changes: fields of the graph that are replaced.
    """
    shape = ["batch", "samples"] if shape is None else shape
    random = np.random.default_rng(0)
    constants = {
        "filters": random.normal(0, 0.3, (CHANNELS, 1, KERNEL)).astype(np.float32),
        "offsets": np.full(CHANNELS, 0.1, np.float32),
        "weight": random.normal(0, 4, (CHANNELS, len(LABELS))).astype(np.float32),
        "form": np.array([1 if len(shape) == 1 else 0, 1, -1], np.int64),
    }
    last = "logits" if softmax else "scores"
    nodes = [
        *(extra or []),
        helper.make_node("Reshape", ["sound", "form"], ["rows"]),
        helper.make_node("Conv", ["rows", "filters", "offsets"], ["frames"], strides=[STRIDE]),
        helper.make_node("Abs", ["frames"], ["levels"]),
        helper.make_node("ReduceMean", ["levels"], ["mean"], axes=[2], keepdims=0),
        helper.make_node("MatMul", ["mean", "weight"], [last]),
    ]
    nodes += [helper.make_node("Softmax", ["logits"], ["scores"], axis=1)] if softmax else []
    parts: dict[str, Any] = {
        "nodes": nodes,
        "inputs": [helper.make_tensor_value_info("sound", TensorProto.FLOAT, shape)],
        "outputs": [helper.make_tensor_value_info("scores", TensorProto.FLOAT, scores or ["batch", len(LABELS)])],
        "initializer": [numpy_helper.from_array(value, name) for name, value in constants.items()],
    }
    graph = helper.make_graph(name="others", **{**parts, **changes})
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def write_model(path: Path, **options: Any) -> Path:
    """Write such a classifier; arguments as ``make_model``."""
    onnx.save(make_model(**options), path)
    return path
