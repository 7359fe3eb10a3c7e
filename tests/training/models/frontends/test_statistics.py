"""Statistics with weights: equal to those of numpy and scipy over the frames that weigh, finite where none does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from training.models.frontends.statistics import (
    Weights,
    deltas,
    links,
    mean_and_deviation,
    moments,
    pairs,
    quantiles,
    slope,
    travel,
    weighted_mean,
    weights_of,
)


@pytest.fixture
def series() -> tuple[Tensor, Weights]:
    """Two series of 200 frames and 3 dims, and weights: the first counts for 120 frames, the second everywhere."""
    random = torch.Generator().manual_seed(0)
    values = torch.rand(2, 200, 3, generator=random) ** 2 * 5
    weight = torch.ones(2, 200)
    weight[0, 120:] = 0
    return values, weights_of(weight)


def quantiles_of(values: Tensor, weight: Tensor, levels: tuple[float, ...]) -> Tensor:
    ordered, order = values.sort(dim=1)
    return quantiles(ordered, order, weights_of(weight), levels)


def weighing(series: tuple[Tensor, Weights]) -> list[np.ndarray]:
    return [series[0][0, :120].double().numpy(), series[0][1].double().numpy()]


def test_moments_equal_scipys(series: tuple[Tensor, Weights]) -> None:
    mean, deviation, skewness, kurtosis = moments(*series)
    torch.testing.assert_close(mean, weighted_mean(*series))
    torch.testing.assert_close([mean, deviation], mean_and_deviation(*series))
    for row, values in enumerate(weighing(series)):
        np.testing.assert_allclose(mean[row], values.mean(0), rtol=1e-5)
        np.testing.assert_allclose(deviation[row], values.std(0), rtol=1e-5)
        np.testing.assert_allclose(skewness[row], stats.skew(values), rtol=0.02)  # faint series fade out
        np.testing.assert_allclose(kurtosis[row], stats.kurtosis(values, fisher=False), rtol=0.03)


def test_the_shape_of_what_hardly_varies_fades_out() -> None:
    values = 3 + 1e-5 * torch.rand(1, 100, 2, generator=torch.Generator().manual_seed(0)) ** 8
    _, _, skewness, kurtosis = moments(values, weights_of(torch.ones(1, 100)))
    assert float(skewness.abs().max()) < 1e-3
    assert float(kurtosis.abs().max()) < 1e-3


def test_links_equal_numpys(series: tuple[Tensor, Weights]) -> None:
    covariance, correlation = links(*series, pairs(3)).unbind(1)
    for row, values in enumerate(weighing(series)):
        above = np.triu_indices(3, 1)
        np.testing.assert_allclose(covariance[row], np.cov(values.T, bias=True)[above], rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(correlation[row], np.corrcoef(values.T)[above], rtol=0.02, atol=1e-4)


def test_slope_is_the_fitted_lines(series: tuple[Tensor, Weights]) -> None:
    found = slope(*series)
    for row, values in enumerate(weighing(series)):
        second = np.arange(len(values)) / 100
        np.testing.assert_allclose(found[row], np.polyfit(second, values, 1)[0], rtol=1e-3, atol=1e-4)


def test_quantiles_are_means_around_their_level() -> None:
    values = torch.randperm(1_000, generator=torch.Generator().manual_seed(0)).float()[None, :, None]
    low, middle, high = quantiles_of(values, torch.ones(1, 1_000), (0.05, 0.5, 0.95))[0]
    assert [round(float(each), 1) for each in (low, middle, high)] == [49.5, 499.5, 949.5]


def test_quantiles_go_by_weight() -> None:
    values = torch.tensor([[1.0, 2.0, 3.0]])[..., None]
    (found,) = quantiles_of(values, torch.tensor([[0.0, 1.0, 0.0]]), (0.5,))
    assert float(found) == pytest.approx(2.0)


def test_deltas_of_a_line_are_its_slope() -> None:
    line = (0.5 * torch.arange(20.0))[None, :, None]
    np.testing.assert_allclose(deltas(line)[0, 2:-2, 0], 0.5, rtol=1e-6)
    assert deltas(line).shape == line.shape


def test_travel_is_the_mean_change() -> None:
    values = torch.tensor([[0.0, 1.0, 0.0, 1.0, 0.0]])[..., None]
    assert float(travel(values, weights_of(torch.ones(1, 5)))) == pytest.approx(0.8)


def test_weights_of_several_kinds_side_by_side_are_as_each_alone(series: tuple[Tensor, Weights]) -> None:
    values, weights = series
    kinds = [weights.each[..., 0], torch.arange(200.0).expand(2, -1)]
    for one in (weighted_mean, slope, travel, lambda *given: links(*given, pairs(3))):
        together = one(values.unsqueeze(1), weights_of(torch.stack(kinds, dim=1)))
        for place, kind in enumerate(kinds):
            torch.testing.assert_close(together[:, place], one(values, weights_of(kind)))


def test_where_nothing_weighs_all_is_zero(series: tuple[Tensor, Weights]) -> None:
    values, nothing = series[0], weights_of(torch.zeros(2, 200))
    levels = quantiles_of(values, torch.zeros(2, 200), (0.05, 0.5))
    for found in (*moments(values, nothing), slope(values, nothing), levels, links(values, nothing, pairs(3))):
        assert not found.any()
    assert not travel(values, nothing).any()
