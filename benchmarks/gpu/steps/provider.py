"""The CUDA provider: whether it loads, whether a convolution and an attention are right, and what it runs them with."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from benchmarks.gpu.sessions import CUDA, WrongProvider, on_device, open_bare, open_cpu, voices
from benchmarks.gpu.step import Bench, Figures, Skipped
from emotions.audio.decode import SAMPLE_RATE

_LIBRARY = re.compile(r"/\S*(?:libcu|libnv|libonnxruntime|onnxruntime_pybind)\S*\.so\S*")
_ATTENTION = "MultiHeadAttention"
_UNLOADED = re.compile(r"with error: ([^\n\x1b]+)")
_KERNEL = re.compile(r"SdpaKernel=(\w+)")  # an escape sequence follows
_SAYS = "ORT_ENABLE_ATTENTION_KERNEL_DEBUG_INFO"
_UNFUSED = "MATH"
_HEADS, _WIDTH = 12, 768


def provider(bench: Bench) -> Figures:
    """Load the provider, and run a convolution and an attention of each type against the CPU."""
    yield "onnxruntime", ort.__version__
    yield "built with it", CUDA in ort.get_available_providers()
    onnx.save(_convolution(False), bench.scratch / "one.onnx")
    yield "loads", _loads(bench.scratch / "one.onnx")
    for name, make in {"convolution": _convolution, "attention": _attention}.items():
        for half in (False, True):
            yield f"{name}, {'fp16' if half else 'fp32'}", _against_cpu(make(half), half, bench.scratch / "one.onnx")


def _loads(path: Path) -> bool:
    """Whether a session is one on the GPU; ONNX Runtime says why not on standard error alone, and goes on.

    Raises:
        RuntimeError: it is not; with what ONNX Runtime said of the library.
    """
    with _output(2) as said:
        try:
            open_bare(path)
        except WrongProvider as error:
            failure: Exception | None = error
        else:
            failure = None
    if failure is None:
        return True
    found = _UNLOADED.search("\n".join(said))
    raise RuntimeError(f"ONNX Runtime cannot load its CUDA provider: {found[1] if found else failure}")


def _against_cpu(model: Any, half: bool, path: Path) -> dict[str, float]:
    """Seconds until the first answer, and the largest difference to the CPU's, as a share of its largest value."""
    onnx.save(model, path)
    random = np.random.default_rng(0)
    kind = np.float16 if half else np.float32
    feed = {
        value.name: random.normal(0, 1, [each.dim_value for each in value.type.tensor_type.shape.dim]).astype(kind)
        for value in model.graph.input
    }
    began = time.perf_counter()
    session = open_bare(path, strict=True)
    loaded = time.perf_counter()
    found = session.run(None, feed)[0].astype(np.float32)
    first = time.perf_counter()
    expected = open_cpu(path).run(None, feed)[0].astype(np.float32)
    off = float(np.abs(found - expected).max() / np.abs(expected).max())
    if not off < (2e-2 if half else 2e-3):
        raise RuntimeError(f"the GPU's answer differs from the CPU's by {off:.1e} of its largest value")
    return {"load_sec": loaded - began, "first_sec": first - loaded, "difference": off}


def _model(node: Any, shapes: dict[str, list[int]], half: bool, constants: dict[str, Any]) -> Any:
    kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    inputs = [helper.make_tensor_value_info(name, kind, shape) for name, shape in shapes.items()]
    output = helper.make_tensor_value_info(node.output[0], kind, None)
    numbers = [
        numpy_helper.from_array(value.astype(np.float16 if half else np.float32), name)
        for name, value in constants.items()
    ]
    graph = helper.make_graph([node], "one", inputs, [output], numbers)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def _convolution(half: bool) -> Any:
    """The second convolution of a wav2vec2 encoder on a second of audio."""
    weights = {"w": np.random.default_rng(1).normal(0, 0.03, (512, 512, 3))}
    node = helper.make_node("Conv", ["x", "w"], ["y"], strides=[2])
    return _model(node, {"x": [1, 512, 3199]}, half, weights)


def _attention(half: bool, frames: int = 152) -> Any:
    """Self-attention of base size on three seconds, whose frames are a multiple of eight."""
    shapes = {name: [2, frames, _WIDTH] for name in ("q", "k", "v")}
    node = helper.make_node(_ATTENTION, [*shapes], ["y"], domain="com.microsoft", num_heads=_HEADS)
    return _model(node, shapes, half, {})


def libraries(bench: Bench) -> Figures:
    """Paths of the libraries that are loaded once a graph has run: which CUDA, which cuDNN, whose."""
    path = bench.scratch / "one.onnx"
    onnx.save(_convolution(True), path)
    open_bare(path).run(None, {"x": np.zeros((1, 512, 3199), np.float16)})
    maps = Path("/proc/self/maps")
    if not maps.exists():
        raise Skipped("this system does not tell which libraries a process has loaded")
    yield "paths", sorted(set(_LIBRARY.findall(maps.read_text())))


def attention(bench: Bench) -> Figures:
    """What ONNX Runtime says of each attention, in fp32 and fp16: alone, and in the base-size model of a bundle.

    Raises:
        RuntimeError: in fp16 an attention of the model was not fused; all were looked at.
    """
    os.environ[_SAYS] = "1"
    unfused = 0
    for half in (False, True):
        kind = "fp16" if half else "fp32"
        for frames in (149, 152):
            path = bench.scratch / "one.onnx"
            onnx.save(_attention(half, frames), path)
            zeros = np.zeros((2, frames, _WIDTH), np.float16 if half else np.float32)
            with _output() as said:
                open_bare(path).run(None, dict.fromkeys("qkv", zeros))
            yield f"alone, {kind}, {frames} frames", _kernels(said)
        graph = bench.bundle("base") / ("model.fp16.onnx" if half else "model.onnx")
        fused = Counter(node.op_type for node in onnx.load(graph, load_external_data=False).graph.node)[_ATTENTION]
        yield f"fused attentions in base, {kind}", fused
        for name, seconds in {"a window": bench.window_sec, "a second": 1.0}.items():
            with _output() as said:
                on_device(open_bare(graph), *voices(2, round(seconds * SAMPLE_RATE)))()
            ran = _kernels(said)
            yield f"base, {kind}, {name}", ran
            unfused += ran.get(_UNFUSED, 0) if half and isinstance(ran, dict) else 0
    if unfused:
        raise RuntimeError(f"{unfused} attentions in fp16 ran unfused ({_UNFUSED}), at frames that kernels should take")


def _kernels(said: list[str]) -> dict[str, int] | str:
    found = Counter(_KERNEL.findall("\n".join(said)))
    return dict(found) or "ONNX Runtime names no kernel"


@contextlib.contextmanager
def _output(stream: int = 1) -> Iterator[list[str]]:
    """What libraries print until the block ends, as lines in the list that comes.

    Args:
        stream: 1 for standard output, 2 for standard error.
    """
    lines: list[str] = []
    sys.stdout.flush()
    kept = os.dup(stream)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), stream)
        try:
            yield lines
        finally:
            os.dup2(kept, stream)
            os.close(kept)
            file.seek(0)
            lines += file.read().decode(errors="replace").splitlines()
