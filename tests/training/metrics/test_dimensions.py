from __future__ import annotations

import numpy as np
import pytest

from training.metrics.dimensions import HELPED, LEFT, UNCHANGED, fit_linear, linear_calibration, score_values

RANDOM = np.random.default_rng(0)


def test_figures_are_those_of_their_definitions() -> None:
    truth, answers = RANDOM.normal(0, 1, 50), RANDOM.normal(0.5, 2, 50)
    answers += truth
    found = score_values(truth[:, None], answers[:, None], ["arousal"])["dimensions"]["arousal"]
    covariance = np.cov(truth, answers, bias=True)
    apart = truth.var() + answers.var() + (truth.mean() - answers.mean()) ** 2
    assert found["ccc"] == pytest.approx(2 * covariance[0, 1] / apart)
    assert found["pearson"] == pytest.approx(np.corrcoef(truth, answers)[0, 1])
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean((truth - answers) ** 2)))
    assert found["mae"] == pytest.approx(np.abs(truth - answers).mean())


def test_missing_truth_is_left_out_and_what_does_not_vary_is_zero() -> None:
    truth = np.array([[0.0, np.nan], [1.0, np.nan], [np.nan, np.nan], [0.5, np.nan]])
    found = score_values(truth, np.full((4, 2), 0.5), ["a", "b"])
    assert [*found["dimensions"]] == ["a"]
    assert (found["clips"], found["dimensions"]["a"]["clips"], found["ccc"]) == (3, 3, 0.0)
    assert found["dimensions"]["a"]["pearson"] == 0.0


def test_intervals_are_over_speakers_and_wider_where_clips_of_one_agree() -> None:
    truth = RANDOM.normal(0, 1, 400)
    shift = np.repeat(RANDOM.normal(0, 1, 8), 50)
    answers, speakers = truth + shift, np.repeat(np.arange(8), 50)
    of_speakers = score_values(truth[:, None], answers[:, None], ["a"], speakers)["dimensions"]["a"]
    of_clips = score_values(truth[:, None], answers[:, None], ["a"], np.arange(400))["dimensions"]["a"]
    width = [bounds[1] - bounds[0] for bounds in (of_speakers["ccc_ci"], of_clips["ccc_ci"])]
    assert width[0] > 2 * width[1]
    assert of_speakers["ccc_ci"][0] < of_speakers["ccc"] < of_speakers["ccc_ci"][1]
    two = score_values(truth[:, None], answers[:, None], ["a"], speakers % 2)["dimensions"]["a"]
    assert "ccc_ci" not in two


def test_a_linear_fit_gives_mean_and_deviation_of_the_truth() -> None:
    truth = RANDOM.normal(0.3, 0.2, 100)
    scale, bias = fit_linear(truth, (truth - 0.3) * 0.5)
    assert (scale, bias) == pytest.approx((2.0, 0.3), abs=1e-6)
    assert fit_linear(truth[:5], truth[:5] * 0.5) == UNCHANGED
    assert fit_linear(truth, np.zeros(100)) == UNCHANGED


def test_calibration_is_kept_where_it_helps_other_speakers() -> None:
    truth, speakers = RANDOM.normal(0, 0.4, 200), np.repeat(np.arange(5), 40)
    squeezed = truth * 0.5 + RANDOM.normal(0, 0.05, 200)
    found = linear_calibration(truth[:, None], squeezed[:, None], ["a"], speakers)["a"]
    assert found["verdict"] == HELPED
    assert found["scale"] == pytest.approx(2, abs=0.15)
    assert found["ccc_after"] > found["ccc_before"] + 0.1
    alone = linear_calibration(truth[:, None], squeezed[:, None], ["a"], np.zeros(200, np.int64))["a"]
    assert (alone["verdict"], alone["scale"], alone["bias"]) == (LEFT, 1.0, 0.0)
