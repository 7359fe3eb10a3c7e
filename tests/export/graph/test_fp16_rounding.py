"""fp16 as a GPU rounds: emulated on a CPU, what the tolerance of the probe and the gate are measured with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from emotions.audio.windows import FloatArray
from export.graph.fp16 import to_half
from export.graph.fp16_rounding import rounded_as_fp16


@pytest.fixture
def weights() -> list[FloatArray]:
    random = np.random.default_rng(0)
    return [random.normal(0, 0.3, (8, 8)).astype(np.float32) for _ in range(2)]


def model(weights: list[FloatArray]) -> onnx.ModelProto:
    """Square, two linear layers with a sine between, softmax."""
    nodes = [
        helper.make_node("Mul", ["x", "x"], ["power"]),
        helper.make_node("MatMul", ["power", "w0"], ["hidden"]),
        helper.make_node("Sin", ["hidden"], ["bent"]),
        helper.make_node("MatMul", ["bent", "w1"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 8]) for name in ("x", "y")]
    constants = [onnx.numpy_helper.from_array(values, f"w{index}") for index, values in enumerate(weights)]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def answers(graph: onnx.ModelProto, x: FloatArray) -> FloatArray:
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    found: FloatArray = session.run(None, {"x": x})[0]
    return found


def half(values: FloatArray) -> FloatArray:
    rounded: FloatArray = values.astype(np.float16).astype(np.float32)
    return rounded


def test_every_result_is_rounded(weights: list[FloatArray]) -> None:
    x = np.random.default_rng(1).normal(0, 1.5, (64, 8)).astype(np.float32)
    hidden = half(half(x * x) @ half(weights[0]))
    logits = half(half(np.sin(hidden)) @ half(weights[1]))
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    emulated = answers(rounded_as_fp16(to_half(model(weights))), x)
    np.testing.assert_allclose(emulated, powers / powers.sum(axis=1, keepdims=True), atol=2e-4)
    exact = answers(model(weights), x)
    on_cpu = answers(to_half(model(weights)), x)
    assert np.abs(emulated - exact).mean() > 1.2 * np.abs(on_cpu - exact).mean(), "a CPU run rounds too little"


def test_what_overflows_in_fp16_overflows_here(weights: list[FloatArray]) -> None:
    loud = np.full((1, 8), 200.0, np.float32)
    weights = [np.full((8, 8), 1.0, np.float32), weights[1]]
    assert np.isfinite(answers(to_half(model(weights)), loud)).all(), "a CPU run does not see it"
    assert np.isnan(answers(rounded_as_fp16(to_half(model(weights))), loud)).all()


def test_the_graph_in_half_is_left_alone(weights: list[FloatArray], tmp_path: Path) -> None:
    halved = to_half(model(weights))
    before = halved.SerializeToString(deterministic=True)
    onnx.save(rounded_as_fp16(halved), tmp_path / "emulated.onnx")
    onnx.checker.check_model(tmp_path / "emulated.onnx", full_check=True)
    assert halved.SerializeToString(deterministic=True) == before
