"""Eight bits for CPUs: learnt convolutions by scales found on clips, linear layers by the scale of each input row.

ONNX Runtime's own dynamic quantisation takes one scale for a whole batch, so that a clip's answer would depend on the
batch it rides in; a scale a row does not. Weights have seven bits: with eight, CPUs without VNNI overflow, and answer
otherwise than those with it.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from export.graph.inspect import attribute, constants, inferred, learnt_layers, without_constants
from export.graph.packed import channel_scales

_CALIBRATION = 32
"""Most windows that scales of convolutions are found on."""
_STEPS, _WEIGHT_STEPS = 127, 63
_MIDDLE = 128
_LEAST = 1e-30
_MIN_CHANNELS = 8
_POSITIONS = ".positions"
"""What the table of positions of an encoder is called."""


def to_int8(
    model: ModelProto, windows: Mapping[str, npt.NDArray[Any]], fixed: Collection[str] = (), dynamic: bool = False
) -> ModelProto:
    """A copy of a graph with learnt layers in int8; the frontend stays as it is.

    Args:
        model: the graph.
        windows: its inputs by name, some windows of recordings that scales are found on.
        fixed: names of constants that were not learnt.
        dynamic: the graph takes windows of any length: each is cut to its own.
    """
    chosen = [node.name for node in learnt_layers(model.graph, fixed) if _is_conv(node, model)]
    quantised = _with_convolutions(model, chosen, _Windows(windows, dynamic)) if chosen else inferred(model)
    _quantise_linear(quantised, fixed)
    quantised.producer_name, quantised.producer_version = model.producer_name, model.producer_version
    del quantised.graph.value_info[:], quantised.metadata_props[:]
    return quantised


def rounded(model: ModelProto, fixed: Collection[str] = ()) -> ModelProto:
    """A copy of a graph whose learnt weights have eight bits a channel, as float32: it computes as it did.

    Positions that an encoder adds to its frames get half precision. For models that lose too much by ``to_int8``.
    ``export.graph.packed`` stores such weights in one byte each.

    Args:
        model: the graph.
        fixed: names of constants that were not learnt.
    """
    axes = {node.input[1]: _outputs_axis(node) for node in learnt_layers(model.graph, fixed)}

    def small(name: str, tensor: TensorProto) -> TensorProto:
        if name in axes:
            return _to_steps(tensor, axes[name])
        return _to_half(tensor) if name.endswith(_POSITIONS) else tensor

    return without_constants(model, [small(*named) for named in constants(model.graph).items()])


def _outputs_axis(node: NodeProto) -> int:
    return 0 if node.op_type == "Conv" or attribute(node, "transB", 0) else 1


def _to_steps(tensor: TensorProto, axis: int) -> TensorProto:
    values = numpy_helper.to_array(tensor)
    scale = channel_scales(values, axis)
    return numpy_helper.from_array(np.rint(values / scale) * scale, tensor.name)


def _to_half(tensor: TensorProto) -> TensorProto:
    values = numpy_helper.to_array(tensor)
    return numpy_helper.from_array(values.astype(np.float16).astype(np.float32), tensor.name)


def _is_conv(node: NodeProto, model: ModelProto) -> bool:
    """A convolution that pays: no depthwise ones, which wait for memory, and none of one input channel."""
    if node.op_type != "Conv":
        return False
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == node.input[1])
    return attribute(node, "group", 1) == 1 and int(weight.dims[1]) >= _MIN_CHANNELS


class _Windows(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime is not typed
    """Windows one by one."""

    def __init__(self, windows: Mapping[str, npt.NDArray[Any]], dynamic: bool) -> None:
        self._rows = self._each(windows, dynamic)

    def _each(self, windows: Mapping[str, npt.NDArray[Any]], dynamic: bool) -> Iterator[dict[str, npt.NDArray[Any]]]:
        for row in range(min(_CALIBRATION, *(len(values) for values in windows.values()))):
            waveform, length = (windows[name][row : row + 1] for name in windows)
            yield dict(zip(windows, (waveform[:, : length[0]] if dynamic else waveform, length), strict=True))

    def get_next(self) -> dict[str, npt.NDArray[Any]] | None:
        """The next window, or None."""
        return next(self._rows, None)


def _with_convolutions(model: ModelProto, chosen: list[str], windows: _Windows) -> ModelProto:
    with tempfile.TemporaryDirectory() as folder, _quiet():
        path = Path(folder) / "int8.onnx"
        quantize_static(
            inferred(model),
            path,
            windows,
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            nodes_to_quantize=chosen,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(path)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """ONNX Runtime advises on preparations that are made already."""
    root, level = logging.getLogger(), logging.getLogger().level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)


def _quantise_linear(model: ModelProto, fixed: Collection[str]) -> None:
    graph = model.graph
    chosen = {node.output[0] for node in learnt_layers(graph, fixed) if node.op_type in ("MatMul", "Gemm")}
    known = constants(graph)
    shared = {name: numpy_helper.from_array(value, name) for name, value in _SHARED.items()}
    made: dict[str, TensorProto] = dict(shared) if chosen else {}
    nodes: list[NodeProto] = []
    done: set[str] = set()
    for node in graph.node:
        if node.output[0] in chosen:
            nodes += _rows(node.input[0], done)
            nodes += _integer(node, known[node.input[1]], made)
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in (*known.values(), *made.values()) if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


_SHARED: dict[str, npt.NDArray[Any]] = {
    "int8.last_axis": np.array([-1], np.int64),
    "int8.step": np.array(1 / _STEPS, np.float32),
    "int8.least": np.array(_LEAST, np.float32),
    "int8.middle": np.array(_MIDDLE, np.float32),
    "int8.zero": np.array(_MIDDLE, np.uint8),
}


def _rows(name: str, done: set[str]) -> Iterator[NodeProto]:
    """Nodes that give a value's rows as ``<name>.u8``, each by its own scale, ``<name>.scale``."""
    if name in done:
        return
    done.add(name)
    size, most, raw, scale = (f"{name}.{part}" for part in ("abs", "most", "step", "scale"))
    steps, whole, moved, small = (f"{name}.{part}" for part in ("steps", "whole", "moved", "u8"))
    for kind, inputs, output, settings in (
        ("Abs", [name], size, {}),
        ("ReduceMax", [size, "int8.last_axis"], most, {"keepdims": 1}),
        ("Mul", [most, "int8.step"], raw, {}),
        ("Max", [raw, "int8.least"], scale, {}),
        ("Div", [name, scale], steps, {}),
        ("Round", [steps], whole, {}),
        ("Add", [whole, "int8.middle"], moved, {}),
        ("Cast", [moved], small, {"to": TensorProto.UINT8}),
    ):
        yield helper.make_node(kind, inputs, [output], f"int8_{output}", **settings)


def _integer(node: NodeProto, weight: TensorProto, made: dict[str, TensorProto]) -> Iterator[NodeProto]:
    """A linear layer on rows of bytes; its weights (inputs, outputs) have one scale an output."""
    source, output = node.input[0], node.output[0]
    values = numpy_helper.to_array(weight)
    if node.op_type == "Gemm":
        values = values.T if attribute(node, "transB", 0) else values
        values = values * np.float32(attribute(node, "alpha", 1.0))
    small, scale = f"{output}.weight", f"{output}.weight_scale"
    if small not in made:
        scales = np.maximum(np.abs(values).max(axis=0) / _WEIGHT_STEPS, _LEAST).astype(np.float32)
        made[small] = numpy_helper.from_array(np.round(values / scales).astype(np.int8), small)
        made[scale] = numpy_helper.from_array(scales, scale)
    biased = len(node.input) > 2 and node.input[2]
    last = f"{output}.unbiased" if biased else output
    product, number, scaled = (f"{output}.{part}" for part in ("product", "number", "scaled"))
    yield helper.make_node("MatMulInteger", [f"{source}.u8", small, "int8.zero"], [product], f"int8_{product}")
    yield helper.make_node("Cast", [product], [number], f"int8_{number}", to=TensorProto.FLOAT)
    yield helper.make_node("Mul", [number, scale], [scaled], f"int8_{scaled}")
    yield helper.make_node("Mul", [scaled, f"{source}.scale"], [last], f"int8_{last}")
    if biased:
        yield helper.make_node("Add", [last, node.input[2]], [output], node.name)
