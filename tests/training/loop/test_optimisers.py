"""Parameter groups and schedules."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from training.config.learning import LearnParams
from training.loop.optimisers import build_optimiser, learning_rate_factor, parameter_groups


class Conv(nn.Module):
    """A head with convolutions of their own learning rate."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 2, 1)
        self.rest = nn.Linear(2, 2)

    def conv_parameters(self) -> list[nn.Parameter]:
        return [*self.conv.parameters()]


class Model(nn.Module):
    def __init__(self, frozen: bool) -> None:
        super().__init__()
        self.frontend = nn.Linear(3, 4).requires_grad_(not frozen)
        self.head = nn.Sequential(Conv())


def rates(learn: dict[str, object], frozen: bool = False) -> dict[str, float]:
    groups = parameter_groups(Model(frozen), LearnParams.model_validate({"lr": learn}).lr)
    return {group["name"]: group["lr"] for group in groups}


def test_each_group_has_its_learning_rate() -> None:
    found = rates({"base_lr": 0.1, "conv_lr": 0.2, "encoder_lr": 0.3})
    assert found == {
        "base": 0.1, "base_no_decay": 0.1, "conv": 0.2, "conv_no_decay": 0.2, "encoder": 0.3, "encoder_no_decay": 0.3,
    }  # fmt: skip


def test_groups_that_nothing_needs_are_left_out() -> None:
    assert rates({"base_lr": 0.1}, frozen=True) == {"base": 0.1, "base_no_decay": 0.1}


def test_every_parameter_that_trains_is_in_one_group() -> None:
    model = Model(frozen=False)
    groups = parameter_groups(model, LearnParams.model_validate({"lr": {"conv_lr": 0.1}}).lr)
    found = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(found) == sorted(map(id, model.parameters()))


@pytest.mark.parametrize(
    ("schedule", "half", "end"), [("cosine", 0.5, 0.0), ("linear", 0.5, 0.0), ("constant", 1.0, 1.0)]
)
def test_schedules(schedule: str, half: float, end: float) -> None:
    learn = LearnParams.model_validate({"scheduler": schedule, "warm_up": 0.2})
    factors = [learning_rate_factor(step, 100, learn.warm_up, learn.scheduler) for step in range(101)]
    assert factors[:20] == pytest.approx([(step + 1) / 20 for step in range(20)])
    assert (factors[20], factors[60], factors[100]) == pytest.approx((1.0, half, end))
    assert learning_rate_factor(0, 100, 0.0, learn.scheduler) == 1


def test_the_schedule_moves_every_group() -> None:
    learn = LearnParams.model_validate({"lr": {"base_lr": 0.1, "encoder_lr": 0.01}, "scheduler": "linear"})
    optimiser, schedule = build_optimiser(Model(frozen=False), learn, steps=10)
    for _ in range(6):
        optimiser.step()
        schedule.step()
    base, encoder = (group["lr"] for group in optimiser.param_groups[::2])
    assert base == pytest.approx(10 * encoder)
    assert 0 < base < 0.1
    assert torch.is_tensor(optimiser.param_groups[0]["params"][0])
