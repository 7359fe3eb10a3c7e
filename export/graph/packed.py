"""Constants in fewer bytes on disk, with not one value changed: sessions unfold them as they open, and run as before.

Weights that were made of eight bits (a quantised encoder's, or those of ``export.graph.int8.rounded``) are stored in
eight bits with a scale a channel; weights that were saved in half precision, in sixteen; counted positions as a range.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from export.graph.inspect import without_constants

STEPS = 127
"""Steps of a channel's scale, on either side of zero."""
_SMALL = 4096  # bytes; below, a name and two nodes are not worth it
_LEAST = np.float32(1e-30)
_Array = npt.NDArray[Any]


def packed(model: ModelProto) -> ModelProto:
    """A copy of a graph whose large constants take fewer bytes where that loses nothing; the graph is not changed."""
    nodes: list[NodeProto] = []
    tensors: list[TensorProto] = []
    for tensor in model.graph.initializer:
        found = _folded(tensor) if len(tensor.raw_data) >= _SMALL else None
        nodes += found[0] if found else []
        tensors += found[1] if found else [tensor]
    copy = without_constants(model, tensors)
    copy.metadata_props.extend(model.metadata_props)
    whole = [*nodes, *copy.graph.node]
    del copy.graph.node[:]
    copy.graph.node.extend(whole)
    return copy


def channel_scales(values: _Array, axis: int) -> _Array:
    """The scale of each channel: its largest value is ``STEPS`` of it; float32, of the values' rank.

    Args:
        values: weights.
        axis: of the channels.
    """
    others = tuple(index for index in range(values.ndim) if index != axis)
    return np.maximum(np.abs(values).max(axis=others, keepdims=True) / np.float32(STEPS), _LEAST)  # type: ignore[no-any-return]


def _folded(tensor: TensorProto) -> tuple[list[NodeProto], list[TensorProto]] | None:
    values = numpy_helper.to_array(tensor)
    if tensor.data_type == TensorProto.INT64:
        return _as_range(tensor.name, values)
    if tensor.data_type != TensorProto.FLOAT or not np.isfinite(values).all():
        return None
    return _as_bytes(tensor.name, values) or _as_half(tensor.name, values)


def _as_range(name: str, values: _Array) -> tuple[list[NodeProto], list[TensorProto]] | None:
    if values.ndim != 1:
        return None
    start, step = int(values[0]), int(values[1]) - int(values[0])
    if not step or not np.array_equal(values, start + step * np.arange(len(values))):
        return None
    ends = {"start": start, "limit": start + step * len(values), "step": step}
    tensors = [numpy_helper.from_array(np.array(end, np.int64), f"{name}.{which}") for which, end in ends.items()]
    return [_node("Range", [tensor.name for tensor in tensors], name)], tensors


def _as_bytes(name: str, values: _Array) -> tuple[list[NodeProto], list[TensorProto]] | None:
    for axis in dict.fromkeys((0, values.ndim - 1)) if values.ndim > 1 else ():
        scale = _exact_scales(values, axis)
        steps = np.rint(values / scale)
        if math.prod(scale.shape) * 4 < values.nbytes // 8 and np.array_equal(steps * scale, values):
            small = numpy_helper.from_array(steps.astype(np.int8), f"{name}.int8")
            factor = numpy_helper.from_array(scale, f"{name}.scale")
            steps_name = f"{name}.steps"
            cast = _node("Cast", [small.name], steps_name, to=TensorProto.FLOAT)
            return [cast, _node("Mul", [steps_name, factor.name], name)], [small, factor]
    return None


def _exact_scales(values: _Array, axis: int) -> _Array:
    """The scales that give the values again, where such exist: what was rounded twice may be one digit off."""
    found = middle = channel_scales(values, axis)
    others = tuple(index for index in range(values.ndim) if index != axis)
    for scale in (np.nextafter(middle, np.float32(0)), np.nextafter(middle, np.float32(np.inf)), middle):
        exact = (np.rint(values / scale) * scale == values).all(axis=others, keepdims=True)
        found = np.where(exact, scale, found)
    return found


def _as_half(name: str, values: _Array) -> tuple[list[NodeProto], list[TensorProto]] | None:
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    if not np.array_equal(half.astype(np.float32), values):
        return None
    small = numpy_helper.from_array(half, f"{name}.fp16")
    return [_node("Cast", [small.name], name, to=TensorProto.FLOAT)], [small]


def _node(kind: str, inputs: list[str], output: str, **settings: Any) -> NodeProto:
    return helper.make_node(kind, inputs, [output], f"unfolds_{output}", **settings)
