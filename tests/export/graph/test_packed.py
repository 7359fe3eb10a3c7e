"""Constants stored in fewer bytes: what a session computes of them stays the same, to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, numpy_helper

from export.graph.int8 import rounded
from export.graph.packed import packed

Array = npt.NDArray[Any]


def product(weight: Array) -> ModelProto:
    """A product with a weight."""
    nodes = [helper.make_node("MatMul", ["x", "weight"], ["y"])]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", weight.shape[0]])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", weight.shape[1]])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, [numpy_helper.from_array(weight, "weight")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def gather(index: Array) -> ModelProto:
    """Values in an order."""
    nodes = [helper.make_node("Gather", ["x", "index"], ["y"])]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [len(index)])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, [numpy_helper.from_array(index, "index")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def answers(model: ModelProto, x: Array) -> Array:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]  # type: ignore[no-any-return]


def size(model: ModelProto) -> int:
    onnx.checker.check_model(model, full_check=True)
    return sum(len(tensor.raw_data) for tensor in model.graph.initializer)


def on_grid(rows: int, columns: int, axis: int, seed: int) -> Array:
    random = np.random.default_rng(seed)
    steps = random.integers(-127, 128, (rows, columns))
    steps.swapaxes(0, axis)[:, 0] = 127
    scale = random.uniform(1e-6, 10, (rows, 1) if axis == 0 else (1, columns)).astype(np.float32)
    return steps.astype(np.float32) * scale


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(40, 90), columns=st.integers(40, 90), axis=st.integers(0, 1), seed=st.integers(0, 2**31))
def test_weights_of_eight_bits_take_a_quarter(rows: int, columns: int, axis: int, seed: int) -> None:
    model = product(on_grid(rows, columns, axis, seed))
    small = packed(model)
    assert size(small) == rows * columns + 4 * (rows, columns)[axis]
    x = np.random.default_rng(seed).normal(size=(3, rows)).astype(np.float32)
    np.testing.assert_array_equal(answers(small, x), answers(model, x))


def test_weights_of_half_precision_take_half() -> None:
    weight = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float16).astype(np.float32)
    model, x = product(weight), np.ones((1, 64), np.float32)
    assert size(packed(model)) == 64 * 64 * 2
    np.testing.assert_array_equal(answers(packed(model), x), answers(model, x))


@pytest.mark.parametrize("weight", ["learnt", "one off the grid", "not finite", "zeros"])
def test_any_other_weight_stays_as_it_is(weight: str) -> None:
    values = on_grid(64, 64, 0, 0)
    if weight == "learnt":
        values = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    elif weight == "one off the grid":
        values[5, 7] = np.nextafter(values[5, 7], np.float32(1e9))
    elif weight == "not finite":
        values[5, 7] = np.inf
    else:
        values[:] = 0
    model, x = product(values), np.ones((2, 64), np.float32)
    if weight != "zeros":
        assert packed(model).graph == model.graph
    np.testing.assert_array_equal(answers(packed(model), x), answers(model, x))


@pytest.mark.parametrize(("start", "step"), [(0, 1), (5, 3), (999, -1)])
def test_counted_positions_are_a_range(start: int, step: int) -> None:
    index = np.arange(start, start + step * 1000, step, dtype=np.int64) if step > 0 else np.arange(999, -1, -1)
    model, x = gather(index), np.random.default_rng(0).normal(size=4000).astype(np.float32)
    assert size(packed(model)) == 3 * 8
    np.testing.assert_array_equal(answers(packed(model), x), x[index])
    index[500] = 7
    assert size(packed(gather(index))) == 8000


def test_a_graph_is_not_changed_and_small_constants_stay() -> None:
    model = product(on_grid(64, 64, 1, 0))
    before = model.SerializeToString()
    packed(model)
    assert model.SerializeToString() == before
    tiny = product(on_grid(8, 8, 1, 0))
    assert packed(tiny).graph == tiny.graph


@pytest.mark.parametrize(("name", "stored"), [("encoder.positions", 2), ("encoder.bias_table", 4)])
def test_positions_that_are_added_get_half_precision_with_weights_of_eight_bits(name: str, stored: int) -> None:
    table = np.sin(np.arange(64 * 64, dtype=np.float32)).reshape(64, 64)
    nodes = [helper.make_node("Add", ["x", name], ["y"])]
    ends = [helper.make_tensor_value_info(each, TensorProto.FLOAT, [64, 64]) for each in "xy"]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [numpy_helper.from_array(table, name)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    small = packed(rounded(model))
    assert size(small) == stored * 64 * 64
    np.testing.assert_allclose(answers(small, np.zeros((64, 64), np.float32)), table, atol=5e-4 if stored == 2 else 0)
