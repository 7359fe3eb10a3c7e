"""The order of windows: balanced draws, and batches that processes share."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from emotions.errors import ConfigError, DataError
from emotions.pipeline.runner import Context
from tests.training.conftest import MakeStep
from training.corpus import read_corpus
from training.data.waveforms.dataset import NO_LABEL
from training.loop.loaders import (
    BalancedSampler,
    EpochSampler,
    EvenBatches,
    SharedBatches,
    check_shares,
    derived_seed,
    training_batches,
    validation_batches,
    window_classes,
)
from training.loop.losses import class_weights


def test_balanced_draws_are_even_over_the_classes() -> None:
    classes = np.array([0] * 900 + [1] * 100 + [NO_LABEL] * 500)
    sampler = BalancedSampler(classes, seed=0)
    drawn = classes[[*sampler]]
    shares = [(drawn == each).mean() for each in (0, 1, NO_LABEL)]
    assert shares == pytest.approx([1 / 3] * 3, abs=0.04)
    assert len(drawn) == 1_500


def test_balanced_draws_follow_the_seed_and_the_epoch() -> None:
    classes = np.array([0] * 20 + [1] * 5)
    first, again = BalancedSampler(classes, seed=0), BalancedSampler(classes, seed=0)
    assert [*first] == [*again]
    again.set_epoch(1)
    assert [*first] != [*again]


@pytest.mark.parametrize("items", [4, 9, 10, 11, 16, 17])
@pytest.mark.parametrize("processes", [1, 2, 3])
def test_processes_share_the_batches_of_one(items: int, processes: int) -> None:
    sampler = EpochSampler(items, seed=0)
    whole = [*SharedBatches(sampler, 8)]
    shares = [[*SharedBatches(sampler, 8, rank, processes)] for rank in range(processes)]
    assert len({len(each) for each in shares}) == 1
    for batch, parts in zip(whole, zip(*shares, strict=True), strict=False):
        assert sorted(batch) == sorted(item for part in parts for item in part)
        assert len(whole) == 1 or min(map(len, parts)) >= 2
    missing = items - sum(len(part) for each in shares for part in each)
    assert missing < 2 * processes


@pytest.mark.parametrize("items", [3, 7, 64, 65, 66, 200])
@pytest.mark.parametrize("processes", [1, 2, 3])
def test_validation_has_every_item_once_in_batches_of_the_same_number(items: int, processes: int) -> None:
    shares = [[*EvenBatches(items, 32, rank, processes)] for rank in range(processes)]
    assert len({len(each) for each in shares}) == 1
    assert all(0 < len(batch) <= 32 for each in shares for batch in each)
    assert sorted(item for each in shares for batch in each for item in batch) == [*range(items)]


def test_a_corpus_comes_in_batches(make_step: MakeStep, context: Context) -> None:
    corpus = read_corpus(make_step(), context)
    classes = window_classes(corpus.train)
    assert len(classes) == len(corpus.train)
    assert classes.tolist() == [corpus.train[item][2]["emotion"] for item in range(len(classes))]
    seen = sum(len(batch[0]) for batch in training_batches(corpus, 4, 0, 0, balanced=True))
    assert len(corpus.train) - seen in (0, 1)
    assert sum(len(batch[0]) for batch in validation_batches(corpus, 3, 0)) == len(corpus.val)


def test_too_many_processes_are_refused(make_step: MakeStep, context: Context) -> None:
    corpus = read_corpus(make_step(), context)
    check_shares(corpus, 2, 1)
    with pytest.raises(ConfigError, match=r"batch_size: found 3; 2 processes need .* 4 or more"):
        check_shares(corpus, 3, 2)
    with pytest.raises(DataError, match="too few for 50 processes"):
        check_shares(corpus, 100, 50)


def test_balanced_sampling_makes_the_first_targets_weights_even(make_step: MakeStep) -> None:
    classes = {"a": np.array([0, 0, 0, 1]), "b": np.array([0, 1, 1, 1])}
    spec = SimpleNamespace(labels=dict.fromkeys(classes, ("x", "y")))
    corpus: Any = SimpleNamespace(spec=spec, train=SimpleNamespace(classes=classes.get))
    plain = class_weights(make_step(), corpus)
    even = class_weights(make_step(learn_params__sampling="balanced"), corpus)
    assert plain["a"].tolist() == pytest.approx([2 / 3, 2])
    assert even["a"].tolist() == [1, 1]
    assert even["b"].tolist() == plain["b"].tolist() == pytest.approx([2, 2 / 3])


def test_balanced_draws_are_even_over_the_clips_of_a_class() -> None:
    """Ten clips of four windows and thirty of one are one class, twenty of one the other."""
    classes = np.array([0] * 70 + [1] * 20)
    shares = np.array([0.25] * 40 + [1.0] * 50, np.float32)
    sampler = BalancedSampler(classes, 0, shares)
    drawn: list[int] = []
    for epoch in range(400):
        sampler.set_epoch(epoch)
        drawn += [*sampler]
    counts = np.bincount(drawn, minlength=90) / len(drawn)
    assert [counts[:40].sum(), counts[40:70].sum(), counts[70:].sum()] == pytest.approx([1 / 8, 3 / 8, 1 / 2], abs=0.01)


def test_no_two_streams_numbers_or_runs_share_a_seed() -> None:
    streams = ("order", "dropout", "augmentation")
    seeds = [derived_seed(run, stream, number) for run in range(20) for stream in streams for number in range(200)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 1 << 63 for seed in seeds)
    assert derived_seed(1, "order", 2) == derived_seed(1, "order", 2)
