"""Clips against a reference: planted drift is found, chance is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from emotions.bundle.reference.drift import MIN_JUDGED, Comparison
from emotions.bundle.reference.fit import reference_of
from emotions.bundle.reference.observation import Observation
from tests.emotions.bundle.reference.conftest import LABELS, MakeClips


@pytest.fixture(scope="module")
def comparison(make_clips: MakeClips) -> Comparison:
    return Comparison(reference_of(make_clips(120, 0), LABELS, "made clips"), LABELS)


def drifted(comparison: Comparison, clips: list[Observation]) -> set[str]:
    return {found.statistic for found in comparison.findings(comparison.joined(clips)) if found.drifted}


def test_every_statistic_is_compared(comparison: Comparison, make_clips: MakeClips) -> None:
    findings = comparison.findings(comparison.joined(make_clips(100, 1)))
    names = {found.statistic for found in findings}
    assert names == {*comparison.statistics}
    assert len(names) == comparison.reference.comparisons
    assert names == {
        *("labels.emotion", "confidence.emotion", "duration", "level", "signal_to_noise", "bandwidth"),
        *("expected_accuracy.emotion", "embedding", "answers"),
    }


@pytest.mark.parametrize("count", [60, 500])
def test_other_clips_of_the_population_are_no_drift(comparison: Comparison, make_clips: MakeClips, count: int) -> None:
    assert [drifted(comparison, make_clips(count, seed)) for seed in range(1, 21)] == [set()] * 20


@pytest.mark.parametrize(
    ("altered", "statistic"),
    [
        ({"shares": (0.5, 0.0, 0.25, 0.25)}, "labels.emotion"),
        ({"level": -14.0}, "level"),
        ({"hz": 3300.0}, "bandwidth"),
        ({"shift": 1.0}, "embedding"),
        ({"sharpness": 0.0}, "expected_accuracy.emotion"),
    ],
)
def test_planted_drift_is_found_by_its_statistic(
    comparison: Comparison, make_clips: MakeClips, altered: dict[str, Any], statistic: str
) -> None:
    assert statistic in drifted(comparison, make_clips(500, 1, **altered))


def test_too_few_clips_are_not_judged(comparison: Comparison, make_clips: MakeClips) -> None:
    clips = make_clips(MIN_JUDGED - 1, 1, level=0.0)
    assert comparison.findings(comparison.joined(clips)) == []
    assert comparison.findings(comparison.joined([])) == []


def test_what_is_not_known_is_not_judged(comparison: Comparison, make_clips: MakeClips) -> None:
    clips = [Observation(clip.probabilities) for clip in make_clips(100, 1)]
    names = {found.statistic for found in comparison.findings(comparison.joined(clips))}
    assert names == {"labels.emotion", "confidence.emotion", "expected_accuracy.emotion", "answers"}


def test_expected_accuracy_is_the_mean_confidence(comparison: Comparison, make_clips: MakeClips) -> None:
    clips = make_clips(80, 3)
    expected = np.mean([clip.confidence["emotion"] for clip in clips])
    assert comparison.expected_accuracy(comparison.joined(clips)) == {"emotion": pytest.approx(expected, abs=1e-5)}
