"""Calibration: temperatures are found, errors are what libraries say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import brier_score_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from emotions.audio.windows import FloatArray
from training.metrics.calibration import (
    brier,
    calibration_of,
    cross_fitted,
    ece,
    fit_temperature,
    reliability,
    risk_coverage,
    thinned,
)
from training.metrics.predictions import PartPredictions


def answers(clips: int, scale: float, seed: int = 0) -> tuple[PartPredictions, np.ndarray]:
    """Answers whose logits are ``scale`` times too large, and the truth drawn from the right ones."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1.5, (clips, 4))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = np.array([random.choice(4, p=row) for row in chances])
    order = np.arange(clips)
    return PartPredictions(order, order, {"emotion": (scale * logits).astype(np.float32)}), truth


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_the_temperature_undoes_what_makes_a_model_too_sure_or_unsure(scale: float) -> None:
    part, truth = answers(3_000, scale)
    temperature = fit_temperature(lambda t: part.probabilities("emotion", t), truth)
    assert temperature == pytest.approx(scale, rel=0.1)
    found = calibration_of(part.probabilities("emotion"), part.probabilities("emotion", temperature), truth)
    assert found["lowered_ece"]
    assert found["ece_after"] < 0.03 < found["ece_before"]
    assert found["brier_after"] < found["brier_before"]


def test_a_few_clips_that_are_all_right_do_not_make_a_model_certain() -> None:
    logits = np.eye(4, dtype=np.float32) * 3
    part = PartPredictions(np.arange(4), np.arange(4), {"emotion": logits})
    assert 0.5 < fit_temperature(lambda t: part.probabilities("emotion", t), np.arange(4)) < 1


def test_errors_are_those_of_libraries() -> None:
    part, truth = answers(500, 2.0)
    said = part.probabilities("emotion")
    theirs = multiclass_calibration_error(torch.from_numpy(said), torch.from_numpy(truth), 4, n_bins=15)
    assert ece(said, truth) == pytest.approx(float(theirs), abs=1e-5)
    exact = said.astype(np.float64) / said.sum(axis=1, keepdims=True, dtype=np.float64)
    expected = brier_score_loss(truth, exact, labels=[0, 1, 2, 3], scale_by_half=False)
    assert brier(said, truth) == pytest.approx(expected, abs=1e-6)
    assert sum(row["clips"] for row in reliability(said, truth)) == 500


def test_windows_are_pooled_after_the_temperature() -> None:
    logits = np.array([[4, 0], [0, 1], [0, 2]], np.float32)
    part = PartPredictions(np.array([7, 9]), np.array([0, 0, 1]), {"emotion": logits})

    def soft(row: list[float]) -> FloatArray:
        powers = np.exp(np.array(row) / 2)
        return powers / powers.sum()

    expected = [(soft([4, 0]) + soft([0, 1])) / 2, soft([0, 2])]
    np.testing.assert_allclose(part.probabilities("emotion", 2.0), expected, atol=1e-6)


def test_the_curve_of_risk_and_coverage_is_thinned_between_its_ends() -> None:
    part, truth = answers(800, 1.0)
    said = part.probabilities("emotion")
    rows = risk_coverage(said, truth)
    assert rows[-1]["coverage"] == 1
    assert rows[-1]["risk"] == pytest.approx((said.argmax(axis=1) != truth).mean())
    few = thinned(rows, 10)
    assert (len(few), few[0], few[-1]) == (10, rows[0], rows[-1])


def test_clips_are_calibrated_by_other_speakers() -> None:
    part, truth = answers(400, 3.0)
    speakers = np.arange(400) % 2
    found = cross_fitted(lambda t: part.probabilities("emotion", t), truth, speakers)
    for speaker in range(2):
        others = speakers != speaker
        known = PartPredictions(np.arange(200), np.arange(200), {"emotion": part.logits["emotion"][others]})
        temperature = fit_temperature(lambda t, known=known: known.probabilities("emotion", t), truth[others])  # type: ignore[misc]
        np.testing.assert_array_equal(found[~others], part.probabilities("emotion", temperature)[~others])
    alone = cross_fitted(lambda t: part.probabilities("emotion", t), truth, np.zeros(400, np.int64))
    np.testing.assert_array_equal(alone, part.probabilities("emotion"))
