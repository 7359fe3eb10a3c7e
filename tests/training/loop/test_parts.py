"""The parts of the loop: losses, augmentation, schedule, order, pooling."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from emotions.errors import ConfigError
from emotions.pipeline.runner import Context
from tests.training.conftest import MakeStep
from training.corpus import read_corpus
from training.data.waveforms.dataset import NO_LABEL
from training.loop.feature_augmentation import augment, shift_bins
from training.loop.fit import fit
from training.loop.loaders import EpochSampler, training_batches
from training.loop.losses import balanced_weights, class_weights, total_loss
from training.loop.optimisers import learning_rate_factor, parameter_groups
from training.loop.score import ClipPooler, evaluate, score_predictions
from training.run_folder.read import load_checkpoint


def test_balanced_weights_are_even_over_the_classes() -> None:
    weights = balanced_weights(np.array([0, 0, 0, 1, NO_LABEL]), 3)
    assert weights.tolist() == pytest.approx([4 / 9, 4 / 3, 0])


def test_the_loss_is_the_sum_of_torchs_own() -> None:
    logits = {"a": torch.randn(6, 3), "b": torch.randn(6, 2)}
    truth = {"a": torch.tensor([0, 1, 2, 0, NO_LABEL, 1]), "b": torch.tensor([1, NO_LABEL, 0, 0, 1, 1])}
    weights = {"a": torch.tensor([0.5, 1.0, 2.0]), "b": torch.ones(2)}
    expected = sum(cross_entropy(logits[name], truth[name], weights[name]) for name in logits)
    torch.testing.assert_close(total_loss(logits, truth, weights), torch.as_tensor(expected))


def test_a_batch_without_a_label_costs_nothing_and_is_finite() -> None:
    logits = torch.randn(2, 3, requires_grad=True)
    loss = total_loss({"a": logits}, {"a": torch.full((2,), NO_LABEL)}, {"a": torch.ones(3)})
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.fixture
def features() -> torch.Tensor:
    values = torch.randn(4, 64, 48, generator=torch.Generator().manual_seed(0))
    values[1, :, 20:] = 0
    return values


FRAMES = torch.tensor([48, 20, 48, 48])


def test_augmentation_hides_a_part_and_keeps_the_padding(features: torch.Tensor) -> None:
    hidden = [augment(features, FRAMES, torch.Generator().manual_seed(seed)) for seed in range(20)]
    shares = [float((each[0] == 0).float().mean()) for each in hidden]
    assert 0.05 < np.mean(shares) < 0.5
    assert max(shares) < 0.6
    assert not any(each[1, :, 20:].any() for each in hidden)


def test_augmentation_follows_its_generator(features: torch.Tensor) -> None:
    first, same, other = (augment(features, FRAMES, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_spectra_move_by_whole_bins(features: torch.Tensor) -> None:
    moved = shift_bins(features, torch.Generator().manual_seed(3))
    for before, after in zip(features, moved, strict=True):
        shifts = [shift for shift in range(-2, 3) if torch.equal(after[2:-2], before[2 + shift : 62 + shift])]
        assert len(shifts) == 1


def test_the_learning_rate_rises_and_falls() -> None:
    factors = [learning_rate_factor(step, 100) for step in range(101)]
    assert factors[0] == pytest.approx(0.2)
    assert max(factors) == factors[4] == 1
    assert factors[4:] == sorted(factors[4:], reverse=True)
    assert factors[100] == 0
    assert 0 <= learning_rate_factor(1, 1) <= 1


def test_norms_and_biases_do_not_decay() -> None:
    decayed, others = parameter_groups(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)))
    assert [tuple(parameter.shape) for parameter in decayed["params"]] == [(4, 3)]
    assert decayed["weight_decay"] > others["weight_decay"] == 0
    assert len(others["params"]) == 3


def test_every_epoch_has_its_own_order() -> None:
    sampler, again = EpochSampler(50, seed=0), EpochSampler(50, seed=0)
    first = [*sampler]
    sampler.set_epoch(1)
    second = [*sampler]
    assert sorted(first) == sorted(second) == [*range(50)]
    assert first != second
    again.set_epoch(1)
    assert [*again] == second
    assert [*EpochSampler(50, seed=1)] != first


def test_windows_are_pooled_into_clips_in_any_order() -> None:
    logits, clips = torch.randn(5, 3), torch.tensor([2, 0, 2, 0, 7])
    truth = {"a": torch.tensor([1, 0, 1, 0, NO_LABEL])}
    shares = torch.tensor([0.25, 0.5, 0.75, 0.5, 1.0])
    pooler = ClipPooler()
    for rows in (slice(0, 2), slice(2, 5)):
        batch = (torch.empty(0), torch.empty(0), {"a": truth["a"][rows]}, clips[rows], shares[rows])
        pooler.add(batch, {"a": logits[rows]})
    answers = pooler.pooled()
    probabilities = logits.softmax(dim=1)
    assert answers.clips.tolist() == [0, 2, 7]
    assert answers.truth["a"].tolist() == [0, 1, NO_LABEL]
    expected = torch.stack(
        [probabilities[[1, 3]].mean(0), 0.25 * probabilities[0] + 0.75 * probabilities[2], probabilities[4]]
    )
    np.testing.assert_allclose(answers.probabilities("a"), expected, atol=1e-6)
    assert score_predictions(answers, {"a": ["x", "y", "z"]})["a"]["clips"] == 2


def test_a_target_without_labels_has_no_score() -> None:
    pooler = ClipPooler()
    truth = {"a": torch.tensor([NO_LABEL])}
    pooler.add((torch.empty(0), torch.empty(0), truth, torch.tensor([0]), torch.ones(1)), {"a": torch.zeros(1, 2)})
    assert score_predictions(pooler.pooled(), {"a": ["x", "y"]}) == {}


def test_the_class_weights_of_the_config(make_step: MakeStep, context: Context) -> None:
    corpus = read_corpus(make_step(), context)
    assert class_weights(make_step(learn_params__class_weights="none"), corpus)["state"].tolist() == [1, 1]
    balanced = class_weights(make_step(), corpus)
    assert balanced["emotion"].tolist() == pytest.approx([1, 1])


def test_a_lonely_last_window_is_left_out(make_step: MakeStep, context: Context) -> None:
    corpus = read_corpus(make_step(), context)
    size = len(corpus.train)
    for batch_size in (2, 3, size - 1, size, size + 1):
        sizes = [len(batch[0]) for batch in training_batches(corpus, batch_size, context.seed, 0)]
        assert min(sizes) > 1
        assert size - sum(sizes) in (0, 1)


def test_evaluation_does_not_depend_on_the_batch(tiny_run: Path, make_step: MakeStep, context: Context) -> None:
    model = load_checkpoint(tiny_run / "last.ckpt").model
    corpus = read_corpus(make_step(), context)
    one, many = (evaluate(model, corpus.train, batch_size=size).probabilities("emotion") for size in (1, 16))
    assert len(one) == len(corpus.split.train)
    assert float(one.std(axis=0).min()) > 1e-3
    np.testing.assert_allclose(one, many, atol=1e-5)
    assert not model.training


def test_a_missing_accelerator_is_refused(make_step: MakeStep, context: Context) -> None:
    if torch.backends.mps.is_available():
        pytest.skip("this machine has the accelerator")
    from emotions.errors import DeviceError

    with pytest.raises(DeviceError, match="accelerator 'mps' cannot be used here"):
        fit(make_step(accelerator="mps"), context)


def test_an_unknown_backbone_is_refused(make_step: MakeStep, context: Context) -> None:
    with pytest.raises(ConfigError, match=r"model_architecture\.backbone: timm has no architecture 'nonesuch'"):
        fit(make_step(model_architecture__backbone="nonesuch"), context)
