"""Groups are assigned so that each label's share is as near to the requested one as it can be."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from training.data.split.group_assignment import assign_groups


def distance(counts: np.ndarray, parts: np.ndarray, target: np.ndarray) -> float:
    """Mean squared distance of the shares of labels, and of all clips, to the requested ones; infinite without one."""
    every = np.concatenate([counts, counts.sum(1, keepdims=True)], axis=1)
    shares = np.stack([every[parts == part].sum(0) for part in range(3)]) / every.sum(0)
    lacks = ((shares == 0) & (target[:, None] > 0)).any()
    return np.inf if lacks else float(np.square(shares - target[:, None]).mean())


@pytest.mark.parametrize("test", [0.2, 0.0])
def test_few_groups_are_assigned_as_well_as_they_can_be(test: float) -> None:
    random, target = np.random.default_rng(0), np.array([0.8 - test, 0.2, test])
    for seed in range(20):
        sizes = random.lognormal(2, 1.2, (6, 1))  # a fifth of such corpora was split worse than it can be
        counts = (4 * sizes * random.dirichlet([0.7] * 4, 6)).astype(np.int64) + random.integers(0, 2, (6, 4))
        counts[:3] += 1  # each label in three groups, so that each part can have it
        found = distance(counts, assign_groups(counts, (0.2, test), seed), target)
        every = itertools.product(range(3 if test else 2), repeat=6)
        assert found == pytest.approx(min(distance(counts, np.array(each), target) for each in every), abs=1e-9)


def test_the_same_seed_assigns_many_groups_alike_and_fills_each_part() -> None:
    counts = np.random.default_rng(1).integers(1, 60, (200, 30))
    one, other = (assign_groups(counts, (0.1, 0.1), 3) for _ in range(2))
    assert one.tolist() == other.tolist()
    shares = np.bincount(one, weights=counts.sum(axis=1)) / counts.sum()
    np.testing.assert_allclose(shares, [0.8, 0.1, 0.1], atol=0.01)
