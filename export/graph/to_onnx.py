"""A deployable as one ONNX graph: deterministic bytes, nothing of this machine in them, and only what a GPU can run."""

from __future__ import annotations

import contextlib
import gc
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import onnx
import torch
from onnx import GraphProto, ModelProto, TensorProto
from torch import Tensor

import emotions
from emotions.audio.decode import MIN_SAMPLES
from emotions.bundle.manifest import EMBEDDING, LENGTH, WAVEFORM
from emotions.errors import ExportError, first_line
from export.graph.deployable import Deployable
from export.graph.fuse_attention import fuse_attention
from export.graph.inspect import graphs_of, skeleton
from export.graph.operators import check_operators
from export.graph.window_blocks import pad_to_blocks, whole_blocks
from training.models.frontends.descriptors import AFTER, BLOCK_SAMPLES

OPSET = 20
BATCH = "batch"
"""Name of the free axis of every input and output."""
SAMPLES = "samples"
"""Name of the second free axis of the waveform, where a window is dynamic."""

_TRACED_SAMPLES = 16_000
_COMPLEX = frozenset({TensorProto.COMPLEX64, TensorProto.COMPLEX128})
_NOISY_LOGGERS = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")


def to_onnx(model: Deployable, window: int, dynamic: bool = False) -> ModelProto:
    """Export a model to one ONNX graph.

    Args:
        model: the model.
        window: samples of a window.
        dynamic: windows may be of any length from 400 samples up to ``window``.

    Returns:
        A graph with the inputs ``waveform`` float32 [batch, window], or [batch, samples], and ``length`` int64 [batch],
        and one output float32 [batch, classes] a target, named after it; then ``embedding`` [batch, dims] where the
        model answers it.

    Raises:
        ExportError: the model cannot be exported, or needs an operator that ONNX Runtime does not run on a GPU.
    """
    try:
        with quiet(), uncollected(), whole_blocks(model, window) as in_blocks:
            program = torch.onnx.export(
                model,
                example(window, dynamic and not in_blocks),
                dynamo=True,
                verbose=False,
                opset_version=OPSET,
                input_names=[WAVEFORM, LENGTH],
                dynamic_shapes=_axes(window, dynamic, in_blocks),
            )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        raise ExportError(f"the model cannot be exported to ONNX ({reason(error)})") from error
    if program is None:
        raise ExportError("the model cannot be exported to ONNX (the exporter gave nothing)")
    proto = program.model_proto
    outputs = [*model.targets, *([EMBEDDING] if model.dims else [])]
    _name_outputs(proto.graph, outputs)
    anonymise(proto)
    _name_axes(proto.graph)
    if dynamic and in_blocks:
        pad_to_blocks(proto.graph, window, SAMPLES)
    fuse_attention(proto)
    check_graph(proto, outputs)
    return proto


def example(window: int, dynamic: bool) -> tuple[Tensor, Tensor]:
    """Silence to trace a model on: two rows, as torch takes an axis of one for a constant.

    Args:
        window: samples of a window.
        dynamic: windows may be shorter; then a part of a window saves time.
    """
    samples = min(window, _TRACED_SAMPLES) if dynamic else window
    return torch.zeros(2, samples), torch.full((2,), samples, dtype=torch.int64)


def free_axes(window: int, dynamic: bool) -> tuple[dict[int, Any], dict[int, Any]]:
    """The free axes of both inputs, for ``torch.export``. Args as ``example``."""
    batch = {0: torch.export.Dim(BATCH)}
    samples = {1: torch.export.Dim(SAMPLES, min=MIN_SAMPLES, max=window)} if dynamic else {}
    return batch | samples, batch


def _axes(window: int, dynamic: bool, in_blocks: bool) -> tuple[dict[int, Any], dict[int, Any]]:
    """The same for ONNX, which has no guards: of a named axis torch asks that all lengths be linear in it."""
    if not dynamic:
        return free_axes(window, dynamic)
    batch = {0: torch.export.Dim.DYNAMIC}
    if not in_blocks:
        return batch | {1: torch.export.Dim.DYNAMIC(min=MIN_SAMPLES, max=window)}, batch
    most, rest = divmod(window, BLOCK_SAMPLES)
    least = most - max(window - AFTER - MIN_SAMPLES, 0) // BLOCK_SAMPLES
    samples = BLOCK_SAMPLES * torch.export.Dim("blocks", min=least, max=most)
    return batch | {1: samples + rest if rest else samples}, batch


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence an exporter's prints, warnings and logs about its internals; the proof is what decides."""
    loggers = [logging.getLogger(name) for name in _NOISY_LOGGERS]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Keep the garbage collector from walking, again and again, the million objects of an export, which are in use."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def reason(error: BaseException) -> str:
    """The first line of the innermost error: the outer ones are a page of advice on the exporter."""
    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error)


def _name_outputs(graph: GraphProto, targets: Sequence[str]) -> None:
    """Name the outputs after the targets, and anything else that has such a name already otherwise.

    The exporter would name one value ``view`` and a target ``view`` alike.
    """
    answers = {value.name: target for value, target in zip(graph.output, targets, strict=True)}
    taken = {target: f"{target}.inner" for target in targets} | answers
    for inner in graphs_of(graph):
        for node in inner.node:
            node.input[:] = [taken.get(name, name) for name in node.input]
            node.output[:] = [taken.get(name, name) for name in node.output]
        for value in (*inner.initializer, *inner.value_info, *inner.output):
            value.name = taken.get(value.name, value.name)


def _name_axes(graph: GraphProto) -> None:
    """Name the free axes of the inputs wherever they occur."""
    given = graph.input[0].type.tensor_type.shape.dim
    names = {axis.dim_param: name for axis, name in zip(given, (BATCH, SAMPLES), strict=True) if axis.dim_param}
    for inner in graphs_of(graph):
        for value in (*inner.input, *inner.output, *inner.value_info):
            for axis in value.type.tensor_type.shape.dim:
                if axis.dim_param in names:
                    axis.dim_param = names[axis.dim_param]


def anonymise(model: ModelProto) -> None:
    """Clear the source files, lines and modules that the exporter records; name this toolkit as the producer."""
    model.producer_name, model.producer_version = "emotions-toolkit", emotions.__version__
    model.doc_string = model.domain = ""
    graph = model.graph
    graph.name, graph.doc_string = "classifier", ""
    for inner in graphs_of(graph):
        parts = (inner.node, inner.input, inner.output, inner.value_info, inner.initializer)
        for message in (inner, *(message for part in parts for message in part)):
            del message.metadata_props[:]
            message.doc_string = ""
    del model.metadata_props[:]


def check_graph(model: ModelProto, targets: Sequence[str]) -> None:
    """Make sure that a graph is valid, has the bundle's inputs and outputs, and runs on a GPU as a whole.

    Args:
        model: the graph; ExportError names the node at fault.
        targets: names of its outputs, in order.
    """
    try:
        # The checker makes three copies of what it is given, and takes no more than 2 GiB.
        onnx.checker.check_model(skeleton(model), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"the exported graph is not valid ONNX ({first_line(error)})") from error
    check_operators(model)
    graph = model.graph
    inputs, outputs = ([value.name for value in values] for values in (graph.input, graph.output))
    if inputs != [WAVEFORM, LENGTH] or outputs != list(targets):
        raise ExportError(
            f"the exported graph takes {inputs} and gives {outputs}, not {[WAVEFORM, LENGTH]} and {list(targets)}"
        )
    for inner in graphs_of(graph):
        for value in (*inner.input, *inner.output, *inner.value_info):
            if value.type.tensor_type.elem_type in _COMPLEX:
                raise ExportError(f"the exported graph holds the complex tensor {value.name}, which no GPU runs")
