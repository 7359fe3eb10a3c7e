"""Values of a deployed model: from outputs of -1 to 1 to the range, calibrated, in range."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from export.graph.deployable import Deployable


class Outputs(nn.Module):
    """A classifier whose outputs are the first samples."""

    def forward(self, waveform: Tensor, _: Tensor) -> dict[str, Tensor]:
        return {"emotion": waveform[:, :2], "affect": waveform[:, 2:4]}


WAVEFORM = torch.tensor([[1.0, 1.0, -1.0, 0.5], [0.0, 1.0, 2.0, 0.0]])


def test_outputs_become_values_of_the_range() -> None:
    model = Deployable(Outputs(), ["emotion", "affect"], ranges={"affect": (1.0, 7.0)})
    emotion, affect = model(WAVEFORM, torch.tensor([4, 4]))
    assert emotion.sum(dim=1).tolist() == pytest.approx([1, 1])
    assert affect.tolist() == [[1.0, 5.5], [7.0, 4.0]]


def test_scale_and_bias_come_before_the_range_and_models_of_others_may_leave_it() -> None:
    linear = {"affect": [(0.5, 0.0), (1.0, 0.25)]}
    kept, free = (
        Deployable(Outputs(), ["affect"], ranges={"affect": (0.0, 1.0)}, linear=linear, clipped=clipped)(
            WAVEFORM * torch.tensor([1.0, 1.0, 1.0, 2.0]), torch.tensor([4, 4])
        )[0]
        for clipped in (True, False)
    )
    assert kept.tolist() == [[0.25, 1.0], [1.0, 0.625]]
    assert free.tolist() == [[0.25, 1.125], [1.0, 0.625]]
