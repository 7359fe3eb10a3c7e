"""Programs of torch: one that takes whole windows answers shorter ones, alone and in a batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from export.graph.deployable import Deployable
from export.graph.torch_programs import open_pt2, write_pt2
from training.models.frontends.functionals import Functionals

WINDOW = 8_000


class OnFunctionals(nn.Module):
    """A linear layer on statistics of the sound."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.frontend = Functionals(WINDOW)
        self.layer = nn.Linear(self.frontend.dims, 3)

    def forward(self, waveform: Tensor, length: Tensor) -> dict[str, Tensor]:
        return {"emotion": self.layer(self.frontend(waveform, length)[0].squeeze(2))}


@pytest.fixture(scope="module")
def model() -> Deployable:
    return Deployable(OnFunctionals(), ["emotion"])


@pytest.fixture(scope="module")
def program(model: Deployable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "model.pt2"
    write_pt2(path, model, WINDOW)
    return path


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("samples", [400, 5_001, WINDOW])
def test_a_program_of_whole_windows_answers_shorter_ones(
    model: Deployable, program: Path, batch: int, samples: int
) -> None:
    waveform = 0.1 * np.random.default_rng(samples).normal(size=(batch, samples)).astype(np.float32)
    length = np.arange(samples, samples - batch, -1)
    answers = open_pt2(program, ["emotion"])(waveform, length)["emotion"]
    with torch.no_grad():
        (expected,) = model(torch.from_numpy(waveform), torch.from_numpy(length))
    np.testing.assert_allclose(answers, expected.numpy(), atol=1e-5)
