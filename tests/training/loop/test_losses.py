"""Losses: focal, smoothing, weights of targets, and batches that processes share."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from training.config.learning import LearnParams
from training.data.waveforms.dataset import NO_LABEL
from training.loop.losses import Objective, loss_sums, mean_loss, total_loss
from training.loop.module import objective

LOGITS = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 0, NO_LABEL, 1])
WEIGHTS = torch.tensor([0.5, 1.0, 2.0])


def loss(chosen: Objective) -> torch.Tensor:
    return total_loss({"a": LOGITS}, {"a": LABELS}, {"a": WEIGHTS}, chosen)


def test_label_smoothing_is_torchs_own() -> None:
    torch.testing.assert_close(
        loss(Objective(smoothing=0.2)), cross_entropy(LOGITS, LABELS, WEIGHTS, label_smoothing=0.2)
    )


def test_focal_loss_is_its_formula() -> None:
    known = LABELS != NO_LABEL
    right = LOGITS.softmax(1)[known].gather(1, LABELS[known][:, None])[:, 0]
    weight = WEIGHTS[LABELS[known]]
    expected = (weight * (1 - right) ** 2 * -right.log()).sum() / weight.sum()
    torch.testing.assert_close(loss(Objective(gamma=2)), expected)


def test_focal_loss_has_a_gradient_where_the_answer_is_certain() -> None:
    certain = torch.tensor([[60.0, 0.0]], requires_grad=True)
    focal = total_loss({"a": certain}, {"a": torch.tensor([0])}, {"a": torch.ones(2)}, Objective(gamma=0.5))
    focal.backward()  # type: ignore[no-untyped-call]
    assert certain.grad is not None
    assert certain.grad.isfinite().all()


def test_targets_weigh_as_they_are_told() -> None:
    logits, truth = {"a": LOGITS, "b": LOGITS + 1}, {"a": LABELS, "b": LABELS.flip(0)}
    weights = {"a": WEIGHTS, "b": torch.ones(3)}
    parts = {name: total_loss({name: logits[name]}, truth, weights) for name in logits}
    both = total_loss(logits, truth, weights, Objective(target_weights={"b": 0.25}))
    torch.testing.assert_close(both, parts["a"] + 0.25 * parts["b"])


def test_sums_of_parts_make_the_loss_of_the_whole() -> None:
    rows = (slice(0, 2), slice(2, 6))
    sums = sum(loss_sums({"a": LOGITS[part]}, {"a": LABELS[part]}, {"a": WEIGHTS}) for part in rows)
    torch.testing.assert_close(mean_loss(torch.as_tensor(sums), {"a": 0}), loss(Objective()))


@pytest.mark.parametrize(("name", "gamma"), [("cross_entropy", 0.0), ("focal", 3.0)])
def test_the_config_chooses_the_loss(name: str, gamma: float) -> None:
    learn = LearnParams.model_validate({"loss": name, "focal_gamma": 3.0, "label_smoothing": 0.1})
    assert objective(learn) == Objective(gamma, 0.1, {})


def test_long_and_short_clips_weigh_the_same_whatever_the_batches() -> None:
    """40 clips of four windows and 40 of one, whose gradients point to different logits."""
    shares = torch.tensor([0.25] * 160 + [1.0] * 40)
    truth = torch.tensor([0] * 160 + [1] * 40)
    random = torch.Generator().manual_seed(0)
    pull = torch.zeros(2)
    for _ in range(200):
        for rows in torch.split(torch.randperm(200, generator=random), 8):
            logits = torch.zeros(len(rows), 2, requires_grad=True)
            batch = {"a": logits}, {"a": truth[rows]}, {"a": torch.ones(2)}
            total_loss(*batch, shares=shares[rows], mean_shares={"a": 0.4}).backward()  # type: ignore[no-untyped-call]
            assert logits.grad is not None
            per_window = -logits.grad.gather(1, truth[rows][:, None])[:, 0]
            pull += torch.stack([per_window[truth[rows] == each].sum() for each in (0, 1)])
    assert (pull / pull.sum()).tolist() == pytest.approx([0.5, 0.5], abs=0.005)


def test_the_loss_of_a_part_is_the_mean_over_its_clips() -> None:
    shares = torch.tensor([0.25, 0.75, 1.0, 1.0, 1.0, 1.0])
    sums = loss_sums({"a": LOGITS}, {"a": LABELS}, {"a": torch.ones(3)}, shares=shares)
    each = cross_entropy(LOGITS, LABELS, reduction="none", ignore_index=NO_LABEL)
    torch.testing.assert_close(mean_loss(sums, {"a": 0}), (each * shares).sum() / 4)
