"""A threshold is measured on speakers that had no part in choosing it."""

from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.report.unknown import unknown_of
from training.evaluation.report.wording import calibration_line
from training.metrics.held_out import HeldOut


def answers(speakers: int, clips: int, seed: int = 0) -> HeldOut:
    """Answers that are right as often as they are sure."""
    random = np.random.default_rng(seed)
    confidence = random.uniform(0.5, 1, speakers * clips)
    wrong = (random.random(len(confidence)) > confidence).astype(np.float64)
    return HeldOut(confidence, wrong, np.repeat(np.arange(speakers), clips), "speaker", "test clips of the folds")


def test_a_fold_is_judged_by_the_threshold_of_the_others() -> None:
    found = answers(20, 50)
    told = unknown_of([found, found], found.speakers // 2, 0.2, [])
    assert told["max_risk"] == 0.2
    assert 0.1 < told["coverage"] < 0.9
    assert told["risk"] < 0.2
    assert "refused" not in told


def test_a_fold_whose_errors_only_others_have_seen_does_not_choose() -> None:
    found = answers(20, 50)
    fold = (found.speakers == 0).astype(np.int64)
    right = HeldOut(found.confidence, np.where(fold == 1, 1.0, 0.0), found.speakers, found.unit, found.part)
    told = unknown_of([right], fold, 0.2, [])
    assert told["risk"] > 0.9  # only the fold of the one speaker, all wrong, has others to choose by that are enough
    assert told["coverage"] == pytest.approx(1 / 20, abs=0.001)


def test_a_single_fold_takes_its_validation_clips_and_says_where_they_are_too_few() -> None:
    test, few = answers(5, 10), answers(2, 10)
    folds = np.zeros(len(test), np.int64)
    assert unknown_of([test], folds, 0.2, [answers(20, 50, seed=1)])["coverage"] > 0
    told = unknown_of([test], folds, 0.2, [few])
    assert (told["coverage"], told["risk"]) == (0, None)
    assert told["refused"].startswith("20 test clips of the folds of 2 speakers are too few")
    scores = dict.fromkeys(("nll", "brier", "ece", "ece_noise"), 0.1)
    figures = {f"{name}_{when}": value for name, value in scores.items() for when in ("before", "after")}
    line = calibration_line({**figures, "verdict": "cannot be told", "unknown": told})
    assert "may have helped or not" in line
    assert "no threshold for a risk of 20%: 20 test clips" in line
