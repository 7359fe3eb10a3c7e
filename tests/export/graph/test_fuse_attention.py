"""Attention as one node: the same answers, whatever masks and biases there are, and nothing else is touched."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from export.graph.fuse_attention import fuse_attention
from export.graph.operators import check_operators
from export.graph.to_onnx import OPSET

HEADS, DIMS, STEPS, BATCH = 2, 4, 5, 3
WIDTH = HEADS * DIMS


def spelt(
    biases: tuple[str, ...] = (), shown: str | None = None, axis: int = -1, turned: int = 1, scaled: str = "q"
) -> ModelProto:
    """Attention on ``x``, which is query, key and value, in a dozen nodes; ``shown`` is an inner value to answer."""
    nodes = []
    for name, order in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
        nodes.append(helper.make_node("Reshape", ["x", "split"], [f"{name}.parts"]))
        nodes.append(helper.make_node("Transpose", [f"{name}.parts"], [f"{name}.heads"], perm=order))
    query, key, value = (f"{name}.scaled" if name in scaled else f"{name}.heads" for name in "qkv")
    nodes += [helper.make_node("Mul", [f"{name}.heads", "scale"], [f"{name}.scaled"]) for name in scaled]
    nodes.append(helper.make_node("MatMul", [query, key], ["scores.0"]))
    for number, bias in enumerate(biases):
        summed = [f"scores.{number}", bias]
        nodes.append(helper.make_node("Add", summed if number % 2 == 0 else summed[::-1], [f"scores.{number + 1}"]))
    nodes.append(helper.make_node("Softmax", [f"scores.{len(biases)}"], ["weights"], axis=axis))
    nodes.append(helper.make_node("MatMul", ["weights", value], ["mixed"]))
    nodes.append(helper.make_node("Transpose", ["mixed"], ["turned"], perm=[0, 2, 1, 3] if turned else [0, 1, 2, 3]))
    nodes.append(helper.make_node("Reshape", ["turned", "join"], ["y"]))
    constants = {"split": [0, 0, HEADS, DIMS], "join": [0, 0, WIDTH], "scale": np.float32(0.3)}
    inputs: dict[str, Any] = {
        "x": ["batch", STEPS, WIDTH],
        "mask": ["batch", 1, 1, STEPS],
        "bias": ["batch", HEADS, STEPS, STEPS],
    }
    shapes: dict[str, Any] = {"y": ["batch", STEPS, WIDTH], "scores.0": ["batch", HEADS, STEPS, STEPS], "weights": None}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items() if n in ("x", *biases)],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, shapes[n]) for n in filter(None, ("y", shown))],
        [numpy_helper.from_array(np.array(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


def answer(model: ModelProto) -> np.ndarray:
    random = np.random.default_rng(0)
    inputs = {
        "x": random.normal(0, 2, (BATCH, STEPS, WIDTH)),
        "bias": random.normal(0, 2, (BATCH, HEADS, STEPS, STEPS)),
    }
    inputs["mask"] = np.where(np.arange(STEPS) < np.array([[5], [2], [1]]), 0.0, -1e30)[:, None, None]
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    wanted = {value.name: inputs[value.name].astype(np.float32) for value in session.get_inputs()}
    return session.run(["y"], wanted)[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize("scaled", ["q", "qk", ""])
@pytest.mark.parametrize("biases", [(), ("mask",), ("bias",), ("mask", "bias")])
def test_one_node_answers_as_the_dozen(biases: tuple[str, ...], scaled: str) -> None:
    model = spelt(biases, scaled=scaled)
    expected = answer(model)
    assert fuse_attention(model) == 1
    onnx.checker.check_model(model, full_check=True)
    check_operators(model)
    kinds = Counter(node.op_type for node in model.graph.node)
    assert kinds["MultiHeadAttention"] == 1
    assert not {"Softmax", "MatMul", "Transpose", "Reshape"} & {*kinds}
    assert {tensor.name for tensor in model.graph.initializer} <= {"attention.one"}
    np.testing.assert_allclose(answer(model), expected, rtol=0, atol=1e-6)


def test_what_is_masked_weighs_nothing_at_all() -> None:
    model = spelt(("mask",))
    fuse_attention(model)
    random = np.random.default_rng(1)
    x = random.normal(0, 2, (1, STEPS, WIDTH)).astype(np.float32)
    mask = np.array([0, 0, -1e30, -1e30, -1e30], np.float32)[None, None, None]
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    one = session.run(["y"], {"x": x, "mask": mask})[0]
    x[:, 2:] = 1e3
    np.testing.assert_array_equal(session.run(["y"], {"x": x, "mask": mask})[0][:, :2], one[:, :2])


@pytest.mark.parametrize(
    "change", [{"shown": "weights"}, {"shown": "scores.0"}, {"axis": 2}, {"turned": 0}, {"scaled": "qv"}]
)
def test_what_is_not_quite_attention_stays_as_it_is(change: dict[str, int | str]) -> None:
    model = spelt(**change)  # type: ignore[arg-type]
    before = model.SerializeToString()
    assert fuse_attention(model) == 0
    assert model.SerializeToString() == before
