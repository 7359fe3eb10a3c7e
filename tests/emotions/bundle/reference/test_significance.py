"""Limits of chance, against simulation and against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from emotions.bundle.reference.significance import (
    FAMILY_ALPHA,
    LEAST_DISTANCE,
    LEAST_PSI,
    distance_limit,
    f_quantile,
    mahalanobis,
    psi_limit,
    stability_index,
)


@pytest.mark.parametrize(("above", "below"), [(1, None), (3, None), (9, None), (3, 40), (8, 60), (8, 900)])
@pytest.mark.parametrize("share", [0.99, 0.9999])
def test_quantiles_are_those_of_scipy(above: int, below: int | None, share: float) -> None:
    exact = stats.f.ppf(share, above, below) if below else stats.chi2.ppf(share, above) / above
    assert f_quantile(share, above, below) == pytest.approx(exact, rel=0.08)


def test_with_too_few_degrees_nothing_is_significant() -> None:
    assert f_quantile(0.9999, 3, 1) == np.inf


def test_equal_counts_have_no_distance_and_a_class_that_vanishes_has_a_large_one() -> None:
    counts = np.array([25, 25, 25, 25])
    assert stability_index(counts, counts) == 0.0
    assert stability_index(counts, np.array([167, 167, 166, 0])) > 0.5


@pytest.mark.parametrize(("expected", "found", "bins"), [(70, 70, 7), (70, 500, 7), (200, 200, 10)])
def test_samples_of_one_population_exceed_the_limit_as_rarely_as_stated(expected: int, found: int, bins: int) -> None:
    random, rounds, comparisons = np.random.default_rng(0), 20_000, 1
    limit = psi_limit(bins, expected, found, comparisons)
    assert limit > LEAST_PSI  # else this would say nothing about chance
    pairs = zip(
        random.multinomial(expected, [1 / bins] * bins, rounds),
        random.multinomial(found, [1 / bins] * bins, rounds),
        strict=True,
    )
    beyond = sum(stability_index(one, other) > limit for one, other in pairs)
    assert 0 < beyond < 3 * FAMILY_ALPHA * rounds


def test_means_of_one_population_exceed_the_limit_as_rarely_as_stated() -> None:
    random, rounds, dims = np.random.default_rng(0), 4_000, 6
    limit, beyond = distance_limit(dims, 60, 60, 1), 0
    for _ in range(rounds):
        one, other = random.standard_normal((2, 60, dims))
        _, singular, axes = np.linalg.svd(one - one.mean(axis=0), full_matrices=False)
        difference = (other.mean(axis=0) - one.mean(axis=0)) @ axes.T
        beyond += mahalanobis(difference, np.square(singular) / 59) > limit
    assert beyond <= 3 * FAMILY_ALPHA * rounds


def test_many_clips_do_not_make_small_differences_drift() -> None:
    assert psi_limit(10, 10**6, 10**6, 10) == LEAST_PSI
    assert distance_limit(8, 10**6, 10**6, 10) == LEAST_DISTANCE


def test_few_clips_and_many_comparisons_raise_the_limits() -> None:
    assert psi_limit(7, 70, 100, 10) > psi_limit(7, 70, 500, 10) > psi_limit(7, 700, 500, 10)
    assert psi_limit(7, 70, 100, 100) > psi_limit(7, 70, 100, 10)
