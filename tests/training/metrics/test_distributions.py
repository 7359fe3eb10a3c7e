from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.special import rel_entr

from training.metrics.calibration import brier, calibration_of, ece, fit_temperature, nll
from training.metrics.distributions import distance_from_raters, divergence, jensen_shannon

RATERS = np.array([[1.0, 0, 0], [0.5, 0.5, 0], [0, 1 / 3, 2 / 3]], np.float32)
ANSWERS = np.array([[0.8, 0.1, 0.1], [0.5, 0.5, 0], [0.2, 0.3, 0.5]], np.float32)


def test_divergences_are_those_of_scipy() -> None:
    assert divergence(RATERS, ANSWERS) == pytest.approx(rel_entr(RATERS, ANSWERS).sum(axis=1), abs=1e-6)
    assert jensen_shannon(RATERS, ANSWERS) == pytest.approx(jensenshannon(RATERS, ANSWERS, axis=1) ** 2, abs=1e-6)
    assert divergence(RATERS, RATERS) == pytest.approx(0, abs=1e-6)
    found = distance_from_raters(ANSWERS, RATERS, RATERS, np.array([0, 0, 2]))
    assert found["kl_before"] > found["kl_after"] == pytest.approx(0, abs=1e-6)


def test_scores_of_shares_are_those_of_labels_where_raters_agree() -> None:
    labels, speakers = np.array([0, 1, 2]), np.arange(3)
    one, two = (calibration_of(ANSWERS, ANSWERS, truth, speakers) for truth in (labels, np.eye(3, dtype=np.float32)))
    for name in ("ece_after", "nll_after", "brier_after"):
        assert one[name] == pytest.approx(two[name])
    assert one["brier_parts_after"] == pytest.approx(two["brier_parts_after"])


def test_an_answer_is_right_for_the_share_of_the_raters_who_gave_it() -> None:
    split = np.array([[0.6, 0.4]] * 10, np.float32)
    assert ece(split, split) == pytest.approx(0, abs=1e-6)
    assert brier(split, split) == pytest.approx(0, abs=1e-6)
    assert nll(split, split) == pytest.approx(-(0.6 * np.log(0.6) + 0.4 * np.log(0.4)))


def test_the_temperature_is_fitted_to_the_raters() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 3, (400, 3))

    def at(temperature: float) -> np.ndarray:
        scaled = np.exp(logits / temperature)
        return (scaled / scaled.sum(axis=1, keepdims=True)).astype(np.float32)

    fitted = fit_temperature(at, at(3.0), np.arange(400))
    assert fitted == pytest.approx(3.0, rel=0.05)
    assert fit_temperature(at, at(3.0).argmax(axis=1), np.arange(400)) < 1
