"""Where nodes ran is read from a profile: what computes on a CPU is told from what computes shapes there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper

from benchmarks.gpu.sessions import CPU, CUDA, placement


def event(name: str, kind: str, provider: str, *outputs: dict[str, list[int]]) -> dict[str, Any]:
    return {"cat": "Node", "name": name, "args": {"op_name": kind, "provider": provider, "output_type_shape": outputs}}


def test_nodes_on_a_cpu_are_told_from_shapes_and_copies(tmp_path: Path) -> None:
    events = [
        {"cat": "Session", "name": "model_run", "args": {}},
        {"cat": "Node", "name": "fence", "args": {"op_name": "Conv"}},
        event("c", "Conv", CUDA, {"float16": [2, 512, 149]}),
        event("s", "Shape", CPU, {"int64": [3]}),
        event("m", "Mod", CPU, {"int64": []}),
        event("l", "Floor", CPU, {"float": [2]}),
        event("r", "Range", CPU, {"int64": [149]}),
        event("u", "Unique", CPU),
        event("copy", "MemcpyToHost", CUDA, {"float": [2]}),
    ]
    (tmp_path / "p.json").write_text(json.dumps(events))
    assert placement(tmp_path / "p.json") == {
        "nodes": 7,
        "copies": 1,
        "on_cpu": {"Floor": 1, "Range": 1, "Unique": 1},
        "shapes_on_cpu": 2,
    }


def test_a_real_profile_names_what_nodes_give(tmp_path: Path) -> None:
    nodes = [helper.make_node("Shape", ["x"], ["s"]), helper.make_node("Relu", ["x"], ["y"])]
    values = [
        helper.make_tensor_value_info(n, t, None) for n, t in (("s", TensorProto.INT64), ("y", TensorProto.FLOAT))
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])
    model = helper.make_model(
        helper.make_graph(nodes, "g", [x], values), opset_imports=[helper.make_opsetid("", 20)], ir_version=10
    )
    options = ort.SessionOptions()
    options.enable_profiling, options.profile_file_prefix = True, str(tmp_path / "profile")
    session = ort.InferenceSession(model.SerializeToString(), options, providers=[CPU])
    session.run(None, {"x": np.zeros((2, 4), np.float32)})
    found = placement(Path(session.end_profiling()))
    assert (found["on_cpu"], found["shapes_on_cpu"]) == ({"Relu": 1}, 1)
