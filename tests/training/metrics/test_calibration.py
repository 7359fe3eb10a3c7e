"""Calibration: temperatures are found, errors are what libraries say."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from sklearn.metrics import brier_score_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from emotions.audio.windows import FloatArray
from training.metrics.brier_parts import brier_parts
from training.metrics.calibration import (
    brier,
    calibration_of,
    cross_fitted,
    ece,
    ece_noise,
    fit_temperature,
    nll,
    reliability,
    risk_coverage,
    thinned,
    verdict_of,
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
    speakers = np.arange(3_000)
    temperature = fit_temperature(lambda t: part.probabilities("emotion", t), truth, speakers)
    assert temperature == pytest.approx(scale, rel=0.1)
    found = calibration_of(part.probabilities("emotion"), part.probabilities("emotion", temperature), truth, speakers)
    assert found["lowered_ece"]
    assert found["verdict"] == "helped"
    assert found["nll_after"] < found["nll_before"]
    assert found["ece_noise_after"] < found["ece_before"]
    assert found["ece_after"] < 0.03 < found["ece_before"]
    assert found["brier_after"] < found["brier_before"]


def test_a_few_clips_that_are_all_right_do_not_make_a_model_certain() -> None:
    logits = np.eye(4, dtype=np.float32) * 3
    part = PartPredictions(np.arange(4), np.arange(4), {"emotion": logits})
    assert 0.5 < fit_temperature(lambda t: part.probabilities("emotion", t), np.arange(4), np.arange(4)) < 1


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
        temperature = fit_temperature(
            lambda t, known=known: known.probabilities("emotion", t), truth[others], np.zeros(200)
        )  # type: ignore[misc]
        np.testing.assert_array_equal(found[~others], part.probabilities("emotion", temperature)[~others])
    alone = cross_fitted(lambda t: part.probabilities("emotion", t), truth, np.zeros(400, np.int64))
    np.testing.assert_array_equal(alone, part.probabilities("emotion"))


@pytest.mark.parametrize("clips", [34, 300])
def test_the_ece_of_a_perfect_model_is_its_noise(clips: int) -> None:
    found = []
    for seed in range(40):
        part, truth = answers(clips, 1.0, seed)
        said = part.probabilities("emotion")
        found.append((ece(said, truth), ece_noise(said)))
    measured, noise = np.mean(found, axis=0)
    assert measured == pytest.approx(noise, rel=0.1)
    assert noise == pytest.approx({34: 0.18, 300: 0.07}[clips], abs=0.02)


def test_the_parts_of_a_brier_score_add_up() -> None:
    part, truth = answers(400, 2.0)
    said = part.probabilities("emotion")
    parts = brier_parts(said, truth)
    total = parts["reliability"] - parts["resolution"] + parts["uncertainty"]
    total += parts["within_bin_variance"] - parts["within_bin_covariance"]
    assert total == pytest.approx(brier(said, truth), abs=1e-9)
    shares = np.bincount(truth) / len(truth)
    assert parts["uncertainty"] == pytest.approx((shares * (1 - shares)).sum())
    calm = brier_parts(part.probabilities("emotion", 2.0), truth)
    assert calm["reliability"] < parts["reliability"] / 2
    assert calm["resolution"] == pytest.approx(parts["resolution"], rel=0.2)


def test_what_few_speakers_say_of_calibration_cannot_be_told() -> None:
    part, truth = answers(40, 1.1)
    before, after = part.probabilities("emotion"), part.probabilities("emotion", 1.1)
    assert verdict_of(before, after, truth, np.arange(40) % 4) == "cannot be told"
    assert verdict_of(before, after, truth, np.arange(40) % 2) == "cannot be told"
    many, truth = answers(4_000, 3.0)
    before, after, speakers = many.probabilities("emotion"), many.probabilities("emotion", 3.0), np.arange(4_000) % 20
    assert verdict_of(before, after, truth, speakers) == "helped"
    assert verdict_of(after, before, truth, speakers) == "did not help"


def of_speakers(
    random: np.random.Generator, speakers: int, clips: int, temperature: float
) -> tuple[PartPredictions, np.ndarray]:
    """Answers that are too sure by ``temperature``, on speakers whose own logarithms of it scatter by 0.44."""
    own = np.repeat(np.exp(random.normal(0, 0.44, speakers)) * temperature, clips)
    logits = random.normal(0, 2, (len(own), 4))
    chances = np.exp(logits / own[:, None])
    truth = (np.cumsum(chances, axis=1) > random.random((len(own), 1)) * chances.sum(axis=1, keepdims=True)).argmax(
        axis=1
    )
    order = np.arange(len(own))
    return PartPredictions(order, order, {"emotion": logits.astype(np.float32)}), truth


def softmax(part: PartPredictions, temperature: float) -> FloatArray:
    """As ``PartPredictions.probabilities``, for clips of one window each."""
    powers = np.exp(part.logits["emotion"] / temperature)
    found: FloatArray = powers / powers.sum(axis=1, keepdims=True)
    return found


def test_a_speaker_who_hardly_tells_changes_nothing() -> None:
    part, truth = answers(60, 1.0, seed=2)
    heard = functools.partial(part.probabilities, "emotion")
    assert fit_temperature(heard, truth, np.zeros(60)) == 1.0
    assert fit_temperature(heard, truth, np.arange(60)) != 1.0


@pytest.mark.slow
@pytest.mark.parametrize(("speakers", "clips"), [(1, 20), (1, 50), (1, 200), (3, 50), (10, 50)])
def test_a_temperature_of_few_speakers_is_rarely_worse_than_none(
    speakers: int, clips: int, capsys: pytest.CaptureFixture[str]
) -> None:
    random, worse, without, draws = np.random.default_rng(0), 0, 0, 400
    for _ in range(draws):
        true = float(np.exp(random.uniform(np.log(1.1), np.log(1.8))))
        part, truth = of_speakers(random, speakers, clips, true)
        heard = functools.partial(softmax, part)
        others, known = of_speakers(random, 2_000, 2, true)

        def loss(temperature: float, others: PartPredictions = others, known: np.ndarray = known) -> float:
            return float(nll(softmax(others, temperature), known).mean())

        worse += loss(fit_temperature(heard, truth, np.repeat(np.arange(speakers), clips))) > loss(1.0)
        without += loss(fit_temperature(heard, truth, np.arange(len(truth)))) > loss(1.0)  # as if clips were speakers
    with capsys.disabled():
        print(f"\n{speakers} speakers of {clips} clips: worse in {worse / draws:.3f}, before {without / draws:.3f}")
    assert worse / draws <= 0.25
    assert worse <= without
