"""ONNX models on disk: one file, or above what a protobuf message holds, a graph and a file of weights beside it."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from onnx import ModelProto, TensorProto

from emotions.files.atomic import atomic_file, write_bytes
from export.graph.inspect import without_constants

MAX_BYTES = 2_000_000_000
"""A protobuf message holds less than 2 GiB; the rest is for what is no weight."""
WEIGHTS = ".data"
"""Ending of the file of weights, after the model's name."""
_SMALL = 1024
_PAGE = 4096


def write_onnx(path: Path, model: ModelProto, limit: int = MAX_BYTES) -> None:
    """Write a model, large weights in a second file; the model is not changed.

    Args:
        path: the ONNX file.
        model: the graph.
        limit: bytes of weights above which they go to ``path`` + ``.data``.
    """
    if sum(len(tensor.raw_data) for tensor in model.graph.initializer) <= limit:
        write_bytes(path, model.SerializeToString(deterministic=True))
        return
    with atomic_file(path.with_name(path.name + WEIGHTS)) as temporary, temporary.open("wb") as file:
        tensors = [_written(tensor, file, path.name + WEIGHTS) for tensor in model.graph.initializer]
    write_bytes(path, without_constants(model, tensors).SerializeToString(deterministic=True))


def _written(tensor: TensorProto, file: BinaryIO, name: str) -> TensorProto:
    """A tensor whose values lie in a file, from the start of a page on so that it can be mapped into memory."""
    if len(tensor.raw_data) <= _SMALL:
        return tensor
    file.write(bytes(-file.tell() % _PAGE))
    place = {"location": name, "offset": str(file.tell()), "length": str(len(tensor.raw_data))}
    file.write(tensor.raw_data)
    outside = TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
    outside.data_location = TensorProto.EXTERNAL
    for key, value in place.items():
        outside.external_data.add(key=key, value=value)
    return outside


def model_bytes(path: Path) -> int:
    """Bytes of a model on disk, those of its weights beside it included."""
    weights = path.with_name(path.name + WEIGHTS)
    return path.stat().st_size + (weights.stat().st_size if weights.exists() else 0)
