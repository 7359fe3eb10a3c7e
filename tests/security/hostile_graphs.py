"""Graphs of a few hundred bytes that ask for memory or time without end, as bundles that are right in all else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from emotions.bundle.bundle import read_manifest
from emotions.bundle.folders import hash_files, write_manifest
from emotions.bundle.manifest import Manifest

Nodes = list[Any]
Change = Callable[[onnx.GraphProto], None]


def hostile_bundle(good: Path, path: Path, change: Change) -> Path:
    """A copy of a good bundle whose graph is changed, with the hashes of what it holds now."""
    shutil.copytree(good, path)
    model = onnx.load(path / "model.onnx", load_external_data=False)
    change(model.graph)
    (path / "model.onnx").write_bytes(model.SerializeToString())
    return rehashed(path)


def rehashed(path: Path) -> Path:
    """A bundle whose manifest lists the files that its folder holds now."""
    manifest = read_manifest(path)
    files = hash_files(path)
    variants = {
        name: variant.model_copy(update={"sha256": files[variant.file]}) for name, variant in manifest.variants.items()
    }
    write_manifest(path, Manifest.model_validate({**manifest.model_dump(), "files": files, "variants": variants}))
    return path


def nothing(graph: onnx.GraphProto) -> None:
    """Leave the graph as it is."""


def endless_loop(graph: onnx.GraphProto) -> None:
    """A loop of 10^15 turns, which cannot be folded: each adds to what the signal gave."""
    _constant(graph, "turns", np.array(10**15, np.int64))
    _constant(graph, "on", np.array(True))
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("Mul", ["sum", "sum"], ["next"])],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    _behind_the_scaled(graph, [helper.make_node("Loop", ["turns", "on", "scaled"], ["looped"], body=body)], "looped")


def folded_fill(graph: onnx.GraphProto) -> None:
    """A constant of 40,000 x 40,000 numbers, made while the graph is loaded."""
    _constant(graph, "wide", np.array([40_000, 40_000], np.int64))
    fill = helper.make_node("ConstantOfShape", ["wide"], ["huge"])
    _behind_the_scaled(graph, [fill, *_added("huge")], "mixed")


def folded_expand(graph: onnx.GraphProto) -> None:
    """One number, expanded to 6.4 GB."""
    _constant(graph, "wide", np.array([1, 1_600_000_000], np.int64))
    _constant(graph, "one", np.ones(1, np.float32))
    _behind_the_scaled(graph, [helper.make_node("Expand", ["one", "wide"], ["huge"]), *_added("huge")], "mixed")


def folded_tile(graph: onnx.GraphProto) -> None:
    """A few numbers, repeated to 8 GB."""
    _constant(graph, "times", np.array([50_000, 4_000], np.int64))
    _constant(graph, "few", np.ones((1, 10), np.float32))
    _behind_the_scaled(graph, [helper.make_node("Tile", ["few", "times"], ["huge"]), *_added("huge")], "mixed")


def folded_range(graph: onnx.GraphProto) -> None:
    """A range of 10^12 numbers."""
    for name, value in {"from": 0, "to": 10**12, "by": 1}.items():
        _constant(graph, name, np.array(value, np.int64))
    nodes = [
        helper.make_node("Range", ["from", "to", "by"], ["whole"]),
        helper.make_node("Cast", ["whole"], ["huge"], to=TensorProto.FLOAT),
    ]
    _behind_the_scaled(graph, [*nodes, *_added("huge")], "mixed")


def grown_at_run(graph: onnx.GraphProto) -> None:
    """What the signal gave, repeated to 4 GB and that twice: nothing to fold, all of it in the first run."""
    _constant(graph, "times", np.array([1, 40_000_000], np.int64))
    nodes = [
        helper.make_node("Tile", ["scaled", "times"], ["wide"]),
        helper.make_node("Concat", ["wide", "wide"], ["huge"], axis=1),
    ]
    _behind_the_scaled(graph, [*nodes, *_added("huge")], "mixed")


def many_nodes(graph: onnx.GraphProto) -> None:
    """A chain of 10^6 nodes."""
    graph_nodes = [helper.make_node("Abs", ["scaled"], ["n0"])]
    graph_nodes += [helper.make_node("Neg", [f"n{i}"], [f"n{i + 1}"]) for i in range(1_000_000)]
    _behind_the_scaled(graph, graph_nodes, "n1000000")


def unknown_operator(graph: onnx.GraphProto) -> None:
    """An operator of a library that ONNX Runtime would have to load."""
    _behind_the_scaled(graph, [helper.make_node("Run", ["scaled"], ["ran"], domain="evil")], "ran")


def weights_outside(location: str) -> Change:
    """Weights in a file that the graph names."""

    def change(graph: onnx.GraphProto) -> None:
        tensor = TensorProto(name="far", data_type=TensorProto.FLOAT, dims=[8], data_location=TensorProto.EXTERNAL)
        for key, value in {"location": location, "offset": "0", "length": "32"}.items():
            tensor.external_data.add(key=key, value=value)
        graph.initializer.append(tensor)
        _behind_the_scaled(graph, [helper.make_node("Add", ["scaled", "far"], ["mixed"])], "mixed")

    return change


def _added(huge: str) -> Nodes:
    """The sum of a tensor, times zero, added to what the signal gave: the answers stay those of the probe."""
    return [
        helper.make_node("ReduceSum", [huge], ["total"], keepdims=0),
        helper.make_node("Sub", ["total", "total"], ["nothing"]),
        helper.make_node("Add", ["scaled", "nothing"], ["mixed"]),
    ]


def _constant(graph: onnx.GraphProto, name: str, value: Any) -> None:
    graph.initializer.append(numpy_helper.from_array(value, name))


def _behind_the_scaled(graph: onnx.GraphProto, nodes: Nodes, output: str) -> None:
    """Put nodes between ``scaled`` and what takes it."""
    old = list(graph.node)
    for node in old:
        node.input[:] = [output if name == "scaled" else name for name in node.input]
    at = next(index for index, node in enumerate(old) if "scaled" in node.output) + 1
    del graph.node[:]
    graph.node.extend([*old[:at], *nodes, *old[at:]])
