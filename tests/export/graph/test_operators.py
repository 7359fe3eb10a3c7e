"""The table of GPU kernels: every node is looked up by operator, opset and element type, the one at fault named."""

from __future__ import annotations

from pathlib import Path

import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper

from emotions.errors import ExportError
from export.graph import operators
from export.graph.operators import check_operators, cuda_operators
from tests.export.graph.operator_table import main, read_kernels

DOCUMENT = """
## Operators implemented by CPUExecutionProvider
|Op Name|Parameters|OpSet Version|Types Supported|
|**Operator Domain:** *ai.onnx*||||
|Atan|*in* input:**T**<br> *out* output:**T**|7+|**T** = tensor(float)|
## Operators implemented by CUDAExecutionProvider
|Op Name|Parameters|OpSet Version|Types Supported|
|**Operator Domain:** *ai.onnx*||||
|Tile|*in* input:**T**<br> *in* repeats:**T1**<br> *out* output:**T**<br><br>or<br><br>*in* input:**T**<br> *in* tiles:**T**<br> *out* output:**T**|13+|**T** = tensor(float), tensor(int64)<br/> **T1** = tensor(int64)|
|||[6, 12]|**T** = tensor(float)<br/> **T1** = tensor(int64)|
|**Operator Domain:** *com.microsoft*||||
|Gelu|*in* X:**T**<br> *out* Y:**T**|1+|**T** = tensor(float)|
## Operators implemented by DmlExecutionProvider
|Atan|*in* input:**T**<br> *out* output:**T**|7+|**T** = tensor(float)|
"""  # noqa: E501 - as ONNX Runtime writes it


def graph(node: NodeProto, kind: int, out: int, opset: int = 20, **domains: int) -> ModelProto:
    inputs = [helper.make_tensor_value_info("x", kind, [2, 3])]
    outputs = [helper.make_tensor_value_info("y", out, None)]
    constant = helper.make_tensor("repeats", TensorProto.INT64, [2], [1, 2])
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(*domain) for domain in domains.items())]
    made = helper.make_graph([node], "g", inputs, outputs, [constant])
    return helper.make_model(made, opset_imports=opsets, ir_version=10)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.INT64])
def test_types_that_have_a_kernel_pass(kind: int) -> None:
    check_operators(graph(helper.make_node("Tile", ["x", "repeats"], ["y"], "n1"), kind, kind))


@pytest.mark.parametrize(
    ("operator", "inputs", "kind", "opset", "message"),
    [
        (
            "Tile",
            ["x", "repeats"],
            TensorProto.BOOL,
            20,
            "node n1: .* no Tile of opset 20 for GPUs that takes bool, int64",
        ),
        ("Clip", ["x"], TensorProto.INT32, 20, "node n1: .* no Clip of opset 20 for GPUs that takes int32"),
        ("Atan", ["x"], TensorProto.FLOAT, 20, "node n1: ONNX Runtime has no Atan for GPUs"),
        ("Gelu", ["x"], TensorProto.FLOAT, 20, None),
        ("Bernoulli", ["x"], TensorProto.FLOAT, 20, "no Bernoulli for GPUs"),
        ("CastLike", ["x", "x"], TensorProto.FLOAT, 20, None),
    ],
)
def test_an_operator_is_looked_up_with_its_type(
    operator: str, inputs: list[str], kind: int, opset: int, message: str | None
) -> None:
    model = graph(helper.make_node(operator, inputs, ["y"], "n1"), kind, kind, opset)
    if message is None:
        check_operators(model)
    else:
        with pytest.raises(ExportError, match=message):
            check_operators(model)


def test_a_kernel_of_another_opset_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {"operators": {"Relu": [{"since": 6, "until": 12, "inputs": ["T"], "types": {"T": ["float"]}}]}}
    monkeypatch.setattr(operators, "cuda_operators", lambda: table)
    node = helper.make_node("Relu", ["x"], ["y"], "n1")
    check_operators(graph(node, TensorProto.FLOAT, TensorProto.FLOAT, opset=12))
    with pytest.raises(ExportError, match="node n1: ONNX Runtime has no Relu of opset 20 for GPUs"):
        check_operators(graph(node, TensorProto.FLOAT, TensorProto.FLOAT))


def test_a_node_within_a_branch_is_looked_up_too() -> None:
    branch = helper.make_graph(
        [helper.make_node("Atan", ["x"], ["z"], "hidden")],
        "b",
        [],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
    )
    node = helper.make_node("If", ["c"], ["y"], "n1", then_branch=branch, else_branch=branch)
    model = graph(node, TensorProto.FLOAT, TensorProto.FLOAT)
    model.graph.input.append(helper.make_tensor_value_info("c", TensorProto.BOOL, []))
    with pytest.raises(ExportError, match="node hidden: ONNX Runtime has no Atan"):
        check_operators(model)


def test_operators_of_onnxruntime_are_known_others_not() -> None:
    node = helper.make_node("Gelu", ["x"], ["y"], "n1", domain="com.microsoft")
    model = graph(node, TensorProto.FLOAT, TensorProto.FLOAT, **{"com.microsoft": 1})
    model.graph.value_info.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 3]))
    check_operators(model)


def test_the_document_becomes_the_table() -> None:
    table = read_kernels(DOCUMENT, "1.24.0")
    assert table["version"] == "1.24.0"
    assert list(table["operators"]) == ["Tile", "com.microsoft.Gelu"]
    first, second, *older = table["operators"]["Tile"]
    assert first == {
        "since": 13,
        "until": 10_000,
        "inputs": ["T", "T1"],
        "types": {"T": ["float", "int64"], "T1": ["int64"]},
    }
    assert second["inputs"] == ["T", "T"]
    assert [(kernel["since"], kernel["until"]) for kernel in older] == [(6, 12)] * 2


def test_the_script_writes_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operators, "TABLE", tmp_path / "table.json")
    (tmp_path / "kernels.md").write_text(DOCUMENT)
    main([str(tmp_path / "kernels.md"), "9.9.9"])
    cuda_operators.cache_clear()
    try:
        assert cuda_operators()["version"] == "9.9.9"
        assert list(cuda_operators()["operators"]) == ["Tile", "com.microsoft.Gelu"]
    finally:
        monkeypatch.undo()
        cuda_operators.cache_clear()


def test_another_document_is_refused() -> None:
    with pytest.raises(ExportError, match="holds no operators"):
        read_kernels("# Something else", "1")


def test_the_table_says_what_it_is_of() -> None:
    table = cuda_operators()
    assert table["provider"] == "CUDAExecutionProvider"
    assert table["version"] == "1.31.1"
    assert len(table["operators"]) > 200
    # CPUs have these: a graph with one of them would be copied to and fro.
    assert not {"STFT", "DFT", "GroupNormalization", "DynamicQuantizeLinear", "Atan", "Mean"} & {*table["operators"]}
