"""How far two samples differ, and how far they may by chance: population stability index and Mahalanobis distance.

Both limits know how many clips there are on both sides, and how many statistics are looked at.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from emotions.audio.windows import Float64Array, IntArray

FAMILY_ALPHA = 0.001
"""Chance that any statistic of clips that do not differ is beyond its limit, when looked at once."""
LEAST_PSI = 0.2
"""A population stability index below is no drift however many clips show it; by convention, above it the shift is
significant for the business (Siddiqi, Credit Risk Scorecards, 2006)."""
LEAST_DISTANCE = 0.5
"""The same of a distance between means, in standard deviations: a medium effect (Cohen, 1988)."""
LEAST_DROP = 0.05
"""The same of a fall of the expected accuracy."""
_PRIOR = 0.5  # added to each count, so that an empty bin has a logarithm (Jeffreys' prior)


def stability_index(expected: IntArray, found: IntArray) -> float:
    """The population stability index of two samples: the sum over bins of (q - p) ln(q / p).

    Args:
        expected: (bins,) counts of the reference.
        found: (bins,) counts of what is compared.
    """
    p, q = _shares(expected), _shares(found)
    return float(((q - p) * np.log(q / p)).sum())


def _shares(counts: IntArray) -> Float64Array:
    smoothed = counts.astype(np.float64) + _PRIOR
    shares: Float64Array = smoothed / smoothed.sum()
    return shares


def psi_limit(bins: int, expected: int, found: int, comparisons: int) -> float:
    """The index that samples of one population exceed by chance alone with a share of ``FAMILY_ALPHA``.

    It is distributed as (1 / N + 1 / M) times chi-square with ``bins - 1`` degrees of freedom (Yurdakul, Statistical
    Properties of Population Stability Index, 2018).

    Args:
        bins: number of bins.
        expected: clips of the reference.
        found: clips compared with it.
        comparisons: statistics looked at, among which the chance is shared (Bonferroni).
    """
    freedom = max(1, bins - 1)
    by_chance = freedom * f_quantile(1 - FAMILY_ALPHA / comparisons, freedom) * (1 / expected + 1 / found)
    return max(LEAST_PSI, by_chance)


def mahalanobis(difference: Float64Array, variances: Float64Array) -> float:
    """Distance between means in standard deviations of the reference.

    Args:
        difference: (dims,) of the means, along the principal axes of the reference.
        variances: (dims,) along them.
    """
    return math.sqrt(float((np.square(difference) / variances).sum()))


def distance_limit(dims: int, expected: int, found: int, comparisons: int) -> float:
    """The distance that means of one population exceed by chance alone, by Hotelling's T-square.

    Args:
        dims: number of axes.
        expected: clips of the reference.
        found: clips compared with it.
        comparisons: as ``psi_limit``.
    """
    behind = max(1, expected - dims)
    ratio = f_quantile(1 - FAMILY_ALPHA / comparisons, dims, behind) * dims * (expected - 1) / behind
    return max(LEAST_DISTANCE, math.sqrt(ratio * (1 / expected + 1 / found)))


def drop_limit(expected: tuple[float, int], found: tuple[float, int], comparisons: int) -> float:
    """The fall of a mean that samples of one population exceed by chance alone.

    Args:
        expected: standard deviation and clips of the reference.
        found: the same of what is compared.
        comparisons: as ``psi_limit``.
    """
    error = math.sqrt(sum(deviation**2 / clips for deviation, clips in (expected, found)))
    return max(LEAST_DROP, NormalDist().inv_cdf(1 - FAMILY_ALPHA / comparisons) * error)


def f_quantile(share: float, above: int, below: int | None = None) -> float:
    """Quantile of the F distribution, by Paulson's approximation (1942); of chi-square over its degrees for None.

    Args:
        share: of the distribution that lies below it.
        above: degrees of freedom of the numerator.
        below: those of the denominator.
    """
    z = NormalDist().inv_cdf(share)
    one, two = 2 / (9 * above), 2 / (9 * below) if below else 0.0
    # ((1 - two) x - (1 - one))^2 = z^2 (two x^2 + one), for x the cube root of the quantile.
    square, linear, rest = (1 - two) ** 2 - z * z * two, (1 - two) * (1 - one), (1 - one) ** 2 - z * z * one
    if square <= 0:  # too few degrees below for the approximation: nothing is significant
        return math.inf
    return float((linear + math.sqrt(max(0.0, linear * linear - square * rest))) / square) ** 3
