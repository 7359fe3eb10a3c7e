"""A threshold for a risk holds for speakers that nobody has heard, as often as it promises."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from training.metrics.held_out import HeldOut
from training.metrics.risk import MIN_CLIPS, MIN_SPEAKERS, risk_bound, shortage, threshold_for

SETS = 1_000
RISKS = (0.05, 0.1, 0.2)


def answers(random: np.random.Generator, speakers: int, clips: int, spread: float) -> HeldOut:
    """Answers whose confidence is right on average, on speakers who are better or worse than that, by logits."""
    speaker = np.repeat(np.arange(speakers), clips)
    logit = np.abs(random.normal(1.5, 1.5, len(speaker)))
    own = random.normal(0, spread, speakers)[speaker]
    wrong = random.random(len(speaker)) >= 1 / (1 + np.exp(-(logit + own)))
    return HeldOut(1 / (1 + np.exp(-logit)), wrong.astype(np.float64), speaker, "speaker", "test clips")


def true_risk(population: HeldOut, threshold: float) -> float:
    return float(population.wrong[population.confidence >= threshold].mean())


@pytest.mark.slow
@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0, 1.5])
def test_a_threshold_exceeds_its_risk_on_new_speakers_in_at_most_5_of_100_sets(
    spread: float, capsys: pytest.CaptureFixture[str]
) -> None:
    population = answers(np.random.default_rng(99), 200_000, 2, spread)
    for speakers, clips in ((10, 30), (20, 20), (40, 25)):
        row = []
        for risk in RISKS:
            random = np.random.default_rng(5)
            sets = [answers(random, speakers, clips, spread) for _ in range(SETS)]
            thresholds = [threshold_for(each, risk) for each in sets]
            above = np.mean([found is not None and true_risk(population, found) > risk for found in thresholds])
            told = [(each.confidence >= found).mean() for each, found in zip(sets, thresholds, strict=True) if found]
            row.append(f"{above:.3f} ({sum(told) / SETS:.2f})")
            # A binomial of 1,000 draws whose rate is 0.05 lies above 0.064 once in 40.
            assert above <= 0.064, (spread, speakers, risk)
        with capsys.disabled():
            print(f"\nspread {spread}, {speakers} speakers of {clips} clips: " + ", ".join(row))


def test_many_clear_answers_get_a_threshold_and_the_risk_is_below() -> None:
    found = answers(np.random.default_rng(1), 60, 30, 0.5)
    strict, loose = threshold_for(found, 0.1), threshold_for(found, 0.2)
    assert strict is not None
    assert loose is not None
    assert 0.5 < loose < strict < 1
    assert found.wrong[found.confidence >= strict].mean() < 0.1


def test_a_speaker_is_one_opinion_however_many_clips_there_are() -> None:
    wrong = np.tile([0, 0, 0, 0, 1], 40).astype(np.float64)
    scattered, alike = np.arange(200) // 5, np.arange(200) // 20
    spread = np.sort(wrong)  # all errors are those of a few speakers
    assert 0.2 < risk_bound(wrong, scattered) < risk_bound(wrong, alike) < risk_bound(spread, alike)
    assert risk_bound(wrong, np.zeros(200, np.int64)) == 1


def test_the_bound_of_a_clip_a_speaker_is_that_of_clopper_and_pearson() -> None:
    wrong = np.repeat([1.0, 0.0], [7, 93])
    upper = binomtest(7, 100, alternative="less").proportion_ci(0.95, "exact").high
    assert risk_bound(wrong, np.arange(100)) == pytest.approx(upper, abs=0.003)


def test_where_no_threshold_holds_there_is_none() -> None:
    random = np.random.default_rng(2)
    coin = HeldOut(random.random(300), random.integers(0, 2, 300) * 1.0, np.arange(300) % 20, "speaker", "test clips")
    assert threshold_for(coin, 0.2) is None
    saturated = HeldOut(np.ones(300), coin.wrong, coin.speakers, "speaker", "test clips")
    assert threshold_for(saturated, 0.2) is None
    right = HeldOut(np.ones(300), np.zeros(300), coin.speakers, "speaker", "test clips")
    assert threshold_for(right, 0.2) == 1
    assert threshold_for(right, 0.001) is None


@pytest.mark.parametrize(("speakers", "clips"), [(MIN_SPEAKERS - 1, 40), (7, 7)])
def test_few_clips_or_speakers_give_no_threshold(speakers: int, clips: int) -> None:
    count = speakers * clips
    found = HeldOut(np.ones(count), np.zeros(count), np.arange(count) % speakers, "recording", "test clips")
    missing = shortage(found)
    assert missing is not None
    assert missing.startswith(f"{count} test clips of {speakers} recordings are too few")
    assert f"at least {MIN_CLIPS} clips of {MIN_SPEAKERS}" in missing
    assert threshold_for(found, 0.5) is None
