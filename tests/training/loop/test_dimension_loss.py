from __future__ import annotations

import pytest
import torch

from training.loop.dimension_loss import dimension_loss
from training.metrics.dimensions import score_values

NAN = float("nan")


def test_the_loss_is_one_less_the_mean_ccc() -> None:
    torch.manual_seed(0)
    truth, values = torch.randn(20, 2), torch.randn(20, 2)
    ccc = score_values(truth.numpy(), values.numpy(), ["a", "b"])["ccc"]
    assert dimension_loss(values, truth).item() == pytest.approx(1 - ccc, abs=1e-4)


@pytest.mark.parametrize(("form", "expected"), [("mse", 2.5), ("mae", 1.5)])
def test_errors_are_of_the_known_values(form: str, expected: float) -> None:
    truth, values = torch.tensor([[1.0], [2.0], [NAN]]), torch.tensor([[0.0], [4.0], [9.0]])
    assert dimension_loss(values, truth, form=form).item() == pytest.approx(expected)  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["ccc", "mse", "mae"])
def test_a_batch_without_a_value_or_with_one_has_a_finite_gradient(form: str) -> None:
    for truth in (torch.full((3, 2), NAN), torch.tensor([[0.5, NAN], [NAN, NAN], [NAN, NAN]]), torch.ones(3, 2)):
        values = torch.zeros(3, 2, requires_grad=True)
        loss = dimension_loss(values, truth, form=form)  # type: ignore[arg-type]
        loss.backward()
        assert torch.isfinite(loss)
        assert values.grad is not None
        assert torch.isfinite(values.grad).all()
    assert dimension_loss(torch.ones(3, 2), torch.full((3, 2), NAN)).item() == 0


def test_windows_of_one_clip_share_its_weight() -> None:
    truth, values = torch.tensor([[0.0], [1.0], [1.0]]), torch.tensor([[1.0], [1.0], [0.0]])
    halves = dimension_loss(values, truth, torch.tensor([1.0, 0.5, 0.5]), "mse")
    assert halves.item() == pytest.approx(0.75)
