"""Statistics with weights: equal to those of numpy and scipy over the frames that weigh, finite where none does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from training.models.frontends.statistics import deltas, links, moments, quantiles, slope, travel, weighted_mean


@pytest.fixture
def series() -> tuple[Tensor, Tensor]:
    """Two series of 200 frames and 3 dims; the first weighs fully for 120 frames, the second everywhere."""
    random = torch.Generator().manual_seed(0)
    values = torch.rand(2, 200, 3, generator=random) ** 2 * 5
    weight = torch.ones(2, 200)
    weight[0, 120:] = 0
    return values, weight


def weighing(series: tuple[Tensor, Tensor]) -> list[np.ndarray]:
    return [series[0][0, :120].double().numpy(), series[0][1].double().numpy()]


def test_moments_equal_scipys(series: tuple[Tensor, Tensor]) -> None:
    mean, deviation, skewness, kurtosis = moments(*series)
    torch.testing.assert_close(mean, weighted_mean(*series))
    for row, values in enumerate(weighing(series)):
        np.testing.assert_allclose(mean[row], values.mean(0), rtol=1e-5)
        np.testing.assert_allclose(deviation[row], values.std(0), rtol=1e-5)
        np.testing.assert_allclose(skewness[row], stats.skew(values), rtol=0.02)  # faint series fade out
        np.testing.assert_allclose(kurtosis[row], stats.kurtosis(values, fisher=False), rtol=0.03)


def test_the_shape_of_what_hardly_varies_fades_out() -> None:
    values = 3 + 1e-5 * torch.rand(1, 100, 2, generator=torch.Generator().manual_seed(0)) ** 8
    _, _, skewness, kurtosis = moments(values, torch.ones(1, 100))
    assert float(skewness.abs().max()) < 1e-3
    assert float(kurtosis.abs().max()) < 1e-3


def test_links_equal_numpys(series: tuple[Tensor, Tensor]) -> None:
    covariance, correlation = links(*series)
    for row, values in enumerate(weighing(series)):
        above = np.triu_indices(3, 1)
        np.testing.assert_allclose(covariance[row], np.cov(values.T, bias=True)[above], rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(correlation[row], np.corrcoef(values.T)[above], rtol=0.02, atol=1e-4)


def test_slope_is_the_fitted_lines(series: tuple[Tensor, Tensor]) -> None:
    found = slope(*series)
    for row, values in enumerate(weighing(series)):
        second = np.arange(len(values)) / 100
        np.testing.assert_allclose(found[row], np.polyfit(second, values, 1)[0], rtol=1e-3, atol=1e-4)


def test_quantiles_are_means_around_their_level() -> None:
    values = torch.randperm(1_000, generator=torch.Generator().manual_seed(0)).float()[None, :, None]
    low, middle, high = quantiles(values, torch.ones(1, 1_000), (0.05, 0.5, 0.95))
    assert [round(float(each), 1) for each in (low, middle, high)] == [49.5, 499.5, 949.5]


def test_quantiles_go_by_weight() -> None:
    values = torch.tensor([[1.0, 2.0, 3.0]])[..., None]
    (found,) = quantiles(values, torch.tensor([[0.0, 1.0, 0.0]]), (0.5,))
    assert float(found) == pytest.approx(2.0)


def test_deltas_of_a_line_are_its_slope() -> None:
    line = (0.5 * torch.arange(20.0))[None, :, None]
    np.testing.assert_allclose(deltas(line)[0, 2:-2, 0], 0.5, rtol=1e-6)
    assert deltas(line).shape == line.shape


def test_travel_is_the_mean_change() -> None:
    values = torch.tensor([[0.0, 1.0, 0.0, 1.0, 0.0]])
    assert float(travel(values, torch.ones(1, 5))) == pytest.approx(0.8)


def test_where_nothing_weighs_all_is_zero(series: tuple[Tensor, Tensor]) -> None:
    values, nothing = series[0], torch.zeros(2, 200)
    levels = quantiles(values, nothing, (0.05, 0.5))
    for found in (*moments(values, nothing), slope(values, nothing), *levels, *links(values, nothing)):
        assert not found.any()
    assert not travel(values[..., 0], nothing).any()
