"""The relative speed of two graphs, which do known amounts of work."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from emotions.bundle.manifest import Window
from export.bundle.relative_speed import relative_speed
from export.proof.signals import Signals, signals_of
from export.sources import Source
from tests.export.conftest import Standin

WINDOW = 16_000


def graph(path: Path, layers: int) -> Path:
    """A chain of matrix products on the waveform, with the inputs of a bundle."""
    weights = numpy_helper.from_array(np.full((WINDOW // 16, WINDOW // 16), 1e-3, np.float32), "weights")
    shape = numpy_helper.from_array(np.array([16, -1], np.int64), "shape")
    nodes = [helper.make_node("Reshape", ["waveform", "shape"], ["x0"])]
    nodes += [helper.make_node("MatMul", [f"x{at}", "weights"], [f"x{at + 1}"]) for at in range(layers)]
    nodes.append(helper.make_node("Identity", [f"x{layers}"], ["emotion"]))
    inputs = [
        helper.make_tensor_value_info("waveform", TensorProto.FLOAT, [1, WINDOW]),
        helper.make_tensor_value_info("length", TensorProto.INT64, [1]),
    ]
    output = helper.make_tensor_value_info("emotion", TensorProto.FLOAT, [16, WINDOW // 16])
    made = helper.make_graph(nodes, "chain", inputs, [output], [weights, shape])
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


@pytest.fixture
def source() -> Source:
    window = Window(samples=WINDOW, hop_samples=WINDOW, dynamic=False)
    return Source(Standin({"emotion": 2}), {"emotion": ["a", "b"]}, window, {}, "chain", cast(Any, None))


@pytest.fixture
def signals() -> Signals:
    noise = np.random.default_rng(0).normal(0, 0.1, (2, WINDOW)).astype(np.float32)
    return signals_of(noise, WINDOW, 0, "noise")


def test_more_work_is_slower(source: Source, signals: Signals, tmp_path: Path) -> None:
    slow, fast = graph(tmp_path / "slow.onnx", 80), graph(tmp_path / "fast.onnx", 20)
    faster, slower = (relative_speed(*each, source, signals) for each in ((slow, fast), (fast, slow)))
    assert faster is not None
    assert slower is not None
    assert slower < 0.6
    assert faster > 1.7


def test_runs_that_are_too_short_are_not_compared(source: Source, signals: Signals, tmp_path: Path) -> None:
    slow, fast = graph(tmp_path / "slow.onnx", 40), graph(tmp_path / "fast.onnx", 0)
    assert relative_speed(fast, slow, source, signals) is None
