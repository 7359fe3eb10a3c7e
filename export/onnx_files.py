"""ONNX models on disk: one file, or above what a protobuf message holds, a graph and a file of weights beside it."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import ModelProto
from onnx.external_data_helper import convert_model_to_external_data

from emotions.errors import ExportError
from emotions.files import write_bytes

MAX_BYTES = 2_000_000_000
"""A protobuf message holds less than 2 GiB; the rest is for what is no weight."""
WEIGHTS = ".data"
"""Ending of the file of weights, after the model's name."""


def weight_bytes(model: ModelProto) -> int:
    """Bytes of a model's constants."""
    return sum(len(tensor.raw_data) for tensor in model.graph.initializer)


def write_onnx(path: Path, model: ModelProto, limit: int = MAX_BYTES) -> None:
    """Write a model, its weights in a second file where they are more than ``limit`` bytes.

    Raises:
        ExportError: the model is not valid; a large one can be checked on disk only.
    """
    if weight_bytes(model) <= limit:
        write_bytes(path, model.SerializeToString(deterministic=True))
        return
    convert_model_to_external_data(model, location=path.name + WEIGHTS)
    onnx.save_model(model, path)
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"the exported graph is not valid ONNX ({str(error).splitlines()[0]})") from error


def model_bytes(path: Path) -> int:
    """Bytes of a model on disk, those of its weights beside it included."""
    weights = path.with_name(path.name + WEIGHTS)
    return path.stat().st_size + (weights.stat().st_size if weights.exists() else 0)
