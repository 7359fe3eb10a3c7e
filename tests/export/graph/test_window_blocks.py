"""Windows of any length in a graph that computes whole blocks: the zeros before it are those of the model."""

from __future__ import annotations

from itertools import product

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from emotions.runtime.session import onnx_session
from export.graph.deployable import Deployable
from export.graph.onnx_files import write_onnx
from export.graph.to_onnx import to_onnx
from export.graph.window_blocks import WHOLE, pad_to_blocks, whole_blocks
from training.models.frontends.descriptors import AFTER, BLOCK_SAMPLES, Descriptors

WINDOW = 9_001


class Levels(nn.Module):
    """Mean descriptors of a window, as logits."""

    def __init__(self, window: int) -> None:
        super().__init__()
        self.descriptors = Descriptors(window)

    def forward(self, waveform: Tensor, length: Tensor) -> dict[str, Tensor]:
        frames = self.descriptors(waveform, length)
        weighted = (frames.values * frames.active.unsqueeze(2)).sum(dim=1) / frames.active.sum(dim=1, keepdim=True)
        return {"emotion": weighted[:, :4]}


@pytest.mark.parametrize("window", [BLOCK_SAMPLES, 3 * BLOCK_SAMPLES - 1, 3 * BLOCK_SAMPLES, WINDOW])
def test_the_zeros_of_the_graph_are_those_of_the_model(window: int) -> None:
    given = helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["batch", 0])
    graph = helper.make_graph([helper.make_node("Shape", ["waveform"], ["size"])], "g", [given], [])
    graph.output.append(helper.make_tensor_value_info("size", TensorProto.INT64, [2]))
    pad_to_blocks(graph, window, "samples")
    assert WHOLE in {name for node in graph.node for name in node.output}
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    run = onnx.reference.ReferenceEvaluator(model)
    descriptors = Descriptors(window)
    edges = {1, 400, window - AFTER, window - AFTER + 1, window - BLOCK_SAMPLES, window - 1, window}
    for samples in edges - {0}:
        (size,) = run.run(None, {"waveform": np.zeros((2, samples), np.float32)})
        assert [*size] == [2, descriptors.samples_for(samples)], samples


def test_shorter_windows_are_answered_as_by_the_model(tmp_path_factory: pytest.TempPathFactory) -> None:
    model = Deployable(Levels(WINDOW), ["emotion"])
    path = tmp_path_factory.mktemp("graph") / "m.onnx"
    write_onnx(path, to_onnx(model, WINDOW, dynamic=True))
    session = onnx_session(path, threads=1)
    assert session.get_inputs()[0].shape == ["batch", "samples"]
    for samples, batch in product((400, 1_000, 2_560, 6_401, WINDOW - 1, WINDOW), (1, 3)):
        waveform = 0.1 * np.random.default_rng(samples).normal(size=(batch, samples)).astype(np.float32)
        length = np.array([samples, max(400, samples // 2), samples - 1][:batch])
        (answers,) = session.run(None, {"waveform": waveform, "length": length})
        whole = np.pad(waveform, ((0, 0), (0, WINDOW - samples)))
        with torch.no_grad():
            (expected,) = model(torch.from_numpy(whole), torch.from_numpy(length))
        np.testing.assert_allclose(answers, expected.numpy(), atol=1e-5)


def test_a_model_pads_again_once_it_is_exported() -> None:
    model = Levels(WINDOW)
    with whole_blocks(model, WINDOW) as in_blocks:
        assert in_blocks
        assert not model.descriptors.pads
    assert model.descriptors.pads


def test_windows_of_few_blocks_are_taken_as_they_are() -> None:
    with whole_blocks(Levels(4_000), 4_000) as in_blocks:
        assert not in_blocks
    with whole_blocks(nn.Linear(1, 1), WINDOW) as in_blocks:
        assert not in_blocks
