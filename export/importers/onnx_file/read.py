"""An ONNX file of others, read as data: bounded, checked, and nothing from outside of its folder."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path, PurePath

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import GraphProto, ModelProto, TensorProto

from emotions.errors import ConfigError, first_line, plain
from emotions.files.content import open_regular
from export.graph.inspect import graphs_of, inferred_skeleton, skeleton
from export.graph.onnx_files import MAX_BYTES

KEY = "--onnx"
"""Option that names the file; errors begin with it."""
_MIN_OPSET = 13
_MAX_NUMBERS = 500_000_000
"""Of one value whose size the graph says."""
_DOMAINS = frozenset({"", "ai.onnx", "com.microsoft"})
_ENDLESS = frozenset({"Loop", "Scan"})
_ITEM_BYTES: dict[int, int] = {TensorProto.FLOAT: 4, TensorProto.FLOAT16: 2, TensorProto.INT64: 8, TensorProto.INT32: 4}
_ITEM_BYTES |= {TensorProto.BFLOAT16: 2, TensorProto.INT8: 1, TensorProto.UINT8: 1, TensorProto.BOOL: 1}
_BROKEN = (DecodeError, OSError, ValueError, TypeError, RuntimeError, RecursionError)


def read_model(path: Path) -> ModelProto:
    """Read a graph with its weights.

    Args:
        path: the file.

    Returns:
        The graph, whose constants are all inside, checked by ``onnx.checker``.

    Raises:
        ConfigError: it is no ONNX, too large, invalid, or holds what is not run here; the message says what.
    """
    if not path.exists():
        raise refused(path, "is no file")
    try:
        with open_regular(path) as stream:
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise refused(path, f"is larger than {MAX_BYTES:,} bytes")
        model = onnx.load_model_from_string(content)
    except _BROKEN as error:
        raise refused(path, f"is no ONNX model that can be read ({first_line(error)})") from error
    _check_operators(model, path)
    _read_outside(model, path, MAX_BYTES - len(content))
    _check(model, path)
    return model


def refused(path: Path, reason: str) -> ConfigError:
    """An error about a file.

    Args:
        path: the file, of which the name is said.
        reason: what it is or has.
    """
    return ConfigError(plain(f"{KEY}: {path.name} {reason}"))


def _check_operators(model: ModelProto, path: Path) -> None:
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    if opset < _MIN_OPSET:
        raise refused(path, f"is of opset {opset}; only {_MIN_OPSET} and later are read: export it anew")
    if model.functions:
        raise refused(path, "holds functions of its own; export it anew, with them inlined")
    for graph in graphs_of(model.graph):
        if graph.sparse_initializer:
            raise refused(path, "keeps constants as sparse tensors, which are not read")
        for node in graph.node:
            if node.domain not in _DOMAINS:
                raise refused(path, f"has the custom operator {node.domain}.{node.op_type}, which is not run")
            if node.op_type in _ENDLESS:
                raise refused(path, f"has the operator {node.op_type}, whose end nobody knows")


def _read_outside(model: ModelProto, path: Path, room: int) -> None:
    """Put constants that lie in files beside the graph into it."""
    for tensor in _constants(model.graph):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        tensor.raw_data = _outside(tensor, path, room)
        room -= len(tensor.raw_data)
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]


def _constants(graph: GraphProto) -> Iterator[TensorProto]:
    """All constants, those inside nodes and branches too."""
    for inner in graphs_of(graph):
        yield from inner.initializer
        for node in inner.node:
            for attribute in node.attribute:
                yield from ([attribute.t] if attribute.HasField("t") else [])
                yield from attribute.tensors


def _outside(tensor: TensorProto, path: Path, room: int) -> bytes:
    """The bytes of a constant in a file of the same folder."""
    place = {entry.key: entry.value for entry in tensor.external_data}
    file = place.get("location", "")
    if not file or PurePath(file).name != file or "\\" in file or (path.parent / file).is_symlink():
        raise refused(path, f"keeps {tensor.name} in {file!r}, which is no file of its own folder")
    size = math.prod(tensor.dims) * _ITEM_BYTES.get(tensor.data_type, 0)
    try:
        start, length = int(place.get("offset", 0)), int(place.get("length", size))
        if not 0 < length == size <= room or start < 0:
            raise ValueError(f"{length:,} bytes from {start:,} on are not what it needs, or too many")
        with open_regular(path.parent / file) as stream:
            stream.seek(start)
            content = stream.read(length)
    except (OSError, ValueError, OverflowError) as error:
        raise refused(path, f"cannot read {tensor.name} from {file} ({first_line(error)})") from error
    if len(content) != length:
        raise refused(path, f"keeps {tensor.name} in {file}, which is too short for it")
    return content


def _check(model: ModelProto, path: Path) -> None:
    try:
        onnx.checker.check_model(skeleton(model), full_check=True)
        inferred = inferred_skeleton(model)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, *_BROKEN) as error:
        raise refused(path, f"is not valid ONNX ({first_line(error)})") from error
    for graph in graphs_of(inferred.graph):
        for value in (*graph.input, *graph.value_info, *graph.output):
            dims = value.type.tensor_type.shape.dim
            numbers = math.prod(max(dim.dim_value, 1) for dim in dims)
            if numbers > _MAX_NUMBERS:
                raise refused(path, f"makes {value.name} of {numbers:,} numbers, more than {_MAX_NUMBERS:,}")
