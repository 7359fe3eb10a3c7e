"""ONNX models on disk: one file, or above what a protobuf message holds, a graph and a file of weights beside it."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import ModelProto, helper
from onnx.external_data_helper import convert_model_to_external_data

from emotions.files import write_bytes

MAX_BYTES = 2_000_000_000
"""A protobuf message holds less than 2 GiB; the rest is for what is no weight."""
WEIGHTS = ".data"
"""Ending of the file of weights, after the model's name."""
_SMALL = 1 << 16


def weight_bytes(model: ModelProto) -> int:
    """Bytes of a model's constants."""
    return sum(len(tensor.raw_data) for tensor in model.graph.initializer)


def skeleton(model: ModelProto) -> ModelProto:
    """A model with large weights as inputs: as valid or not as the model itself, and small enough to be checked."""
    graph = model.graph
    light = ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions)
    for name in ("node", "input", "output", "value_info", "sparse_initializer"):
        getattr(light.graph, name).extend(getattr(graph, name))
    light.graph.name = graph.name
    for tensor in graph.initializer:
        if len(tensor.raw_data) > _SMALL:
            light.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
        else:
            light.graph.initializer.append(tensor)
    return light


def write_onnx(path: Path, model: ModelProto, limit: int = MAX_BYTES) -> None:
    """Write a model, its weights in a second file where they are more than ``limit`` bytes."""
    if weight_bytes(model) <= limit:
        write_bytes(path, model.SerializeToString(deterministic=True))
        return
    convert_model_to_external_data(model, location=path.name + WEIGHTS)
    onnx.save_model(model, path)


def model_bytes(path: Path) -> int:
    """Bytes of a model on disk, those of its weights beside it included."""
    weights = path.with_name(path.name + WEIGHTS)
    return path.stat().st_size + (weights.stat().st_size if weights.exists() else 0)
