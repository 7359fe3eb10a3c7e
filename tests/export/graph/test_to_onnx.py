"""The graph: valid, dynamic in the batch, named by any script, and refused where a GPU could not run it."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from emotions.errors import ExportError
from emotions.runtime.session import onnx_session
from export.graph.deployable import Deployable
from export.graph.to_onnx import OPSET, anonymise, check_graph, to_onnx
from tests.export.conftest import WINDOW, Standin

# Two names that the exporter gives to values of its own.
TARGETS = {"softmax": 3, "настроение": 2, "view": 4}


@pytest.fixture(scope="module")
def model() -> Deployable:
    return Deployable(Standin(TARGETS), list(TARGETS))


@pytest.fixture(scope="module")
def graph(model: Deployable) -> onnx.ModelProto:
    return to_onnx(model, WINDOW)


@pytest.mark.parametrize("batch", [1, 2, 5, 32])
def test_it_answers_as_the_model_in_any_batch(
    graph: onnx.ModelProto, model: Deployable, tmp_path: Path, batch: int
) -> None:
    onnx.save(graph, tmp_path / "m.onnx")
    random = np.random.default_rng(batch)
    waveform = random.normal(0, 0.2, (batch, WINDOW)).astype(np.float32)
    length = random.integers(400, WINDOW, batch, endpoint=True)
    answers = onnx_session(tmp_path / "m.onnx", threads=1).run(list(TARGETS), {"waveform": waveform, "length": length})
    with torch.inference_mode():
        expected = model(torch.from_numpy(waveform), torch.from_numpy(length))
    for one, other, classes in zip(answers, expected, TARGETS.values(), strict=True):
        assert one.shape == (batch, classes)
        np.testing.assert_allclose(one, other.numpy(), rtol=0, atol=1e-6)
        np.testing.assert_allclose(one.sum(axis=1), 1, atol=1e-5)


def test_its_face_is_the_bundles(graph: onnx.ModelProto) -> None:
    def shape(value: onnx.ValueInfoProto) -> list[str | int]:
        return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]

    assert [(value.name, shape(value)) for value in graph.graph.input] == [
        *(("waveform", ["batch", WINDOW]), ("length", ["batch"]))
    ]
    assert [(value.name, shape(value)) for value in graph.graph.output] == [
        (target, ["batch", classes]) for target, classes in TARGETS.items()
    ]
    assert [(entry.domain, entry.version) for entry in graph.opset_import] == [("", OPSET)]


def test_nothing_of_this_machine_is_in_it(graph: onnx.ModelProto) -> None:
    content = graph.SerializeToString()
    assert not re.search(rb"\.py|site-packages|pkg\.torch|stack_trace|/[a-z]+/", content)
    assert not graph.metadata_props
    assert not any(node.metadata_props or node.doc_string for node in graph.graph.node)
    assert not any(value.metadata_props for value in (*graph.graph.value_info, *graph.graph.initializer))


def test_metadata_inside_branches_are_cleared_too() -> None:
    branch = helper.make_graph([helper.make_node("Identity", ["x"], ["y"], doc_string="/src/a.py")], "b", [], [])
    branch.metadata_props.add(key="path", value="/src/a.py")
    node = helper.make_node("If", ["c"], ["z"], then_branch=branch, else_branch=branch)
    model = helper.make_model(helper.make_graph([node], "g", [], []), doc_string="/src/b.py")
    anonymise(model)
    assert b"/src" not in model.SerializeToString()


def test_exporting_is_quiet(model: Deployable, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        to_onnx(model, WINDOW)
    assert capfd.readouterr() == ("", "")
    assert [str(warning.message) for warning in said] == []


class Bent(Standin):
    """Uses an operator that ONNX Runtime has for the CPU alone."""

    def features(self, waveform: Tensor, length: Tensor) -> Tensor:
        return super().features(waveform, length).atan()


def test_an_operator_that_gpus_lack_is_refused_by_its_nodes_name() -> None:
    with pytest.raises(ExportError, match=r"node node_atan\w*: ONNX Runtime has no Atan for GPUs"):
        to_onnx(Deployable(Bent({"emotion": 2}), ["emotion"]), WINDOW)


class Erratic(Standin):
    """Cannot be captured as one graph."""

    def features(self, waveform: Tensor, length: Tensor) -> Tensor:
        features = super().features(waveform, length)
        return features if float(waveform.sum()) > 0 else -features


def test_a_model_that_cannot_be_captured_is_refused_in_one_line() -> None:
    with pytest.raises(ExportError, match=r"cannot be exported to ONNX \(.+\)") as caught:
        to_onnx(Deployable(Erratic({"emotion": 2}), ["emotion"]), WINDOW)
    assert "\n" not in str(caught.value)


def _graph(*nodes: onnx.NodeProto, domain: str = "") -> onnx.ModelProto:
    inputs = [
        helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["batch", WINDOW]),
        helper.make_tensor_value_info("length", TensorProto.INT64, ["batch"]),
    ]
    outputs = [helper.make_tensor_value_info("emotion", TensorProto.FLOAT, ["batch", WINDOW])]
    opsets = [helper.make_opsetid("", OPSET)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    return helper.make_model(helper.make_graph(nodes, "g", inputs, outputs), opset_imports=opsets, ir_version=10)


def test_a_custom_operator_is_refused() -> None:
    node = helper.make_node("Magic", ["waveform"], ["emotion"], domain="my.ops", name="n1")
    with pytest.raises(ExportError, match=r"node n1: my\.ops\.Magic is no standard ONNX operator"):
        check_graph(_graph(node, domain="my.ops"), ["emotion"])


def test_a_graph_with_another_face_is_refused() -> None:
    with pytest.raises(ExportError, match="gives \\['emotion'\\], not"):
        check_graph(_graph(helper.make_node("Abs", ["waveform"], ["emotion"])), ["mood"])


@pytest.mark.parametrize("rows", [8, 20_000])
def test_a_weight_that_does_not_fit_is_found_whatever_its_size(rows: int) -> None:
    weight = numpy_helper.from_array(np.zeros((rows, 4), np.float32), "weight")
    model = _graph(helper.make_node("MatMul", ["waveform", "weight"], ["emotion"], name="n"))
    model.graph.initializer.append(weight)
    with pytest.raises(ExportError, match="is not valid ONNX"):
        check_graph(model, ["emotion"])


def test_an_invalid_graph_is_refused() -> None:
    with pytest.raises(ExportError, match="is not valid ONNX"):
        check_graph(_graph(helper.make_node("Abs", ["nowhere"], ["emotion"])), ["emotion"])
