"""The sentence that a report opens with, of whatever was measured."""

from __future__ import annotations

from typing import Any

import pytest

from training.metrics.classification import score
from training.metrics.conclusion import conclusion, says_something, whose_of


def found(counts: list[list[int]], labels: list[str] | None = None, **more: Any) -> dict[str, Any]:
    """Metrics of a confusion matrix."""
    truth = [row for row, answers in enumerate(counts) for count in answers for _ in range(count)]
    predicted = [column for answers in counts for column, count in enumerate(answers) for _ in range(count)]
    return {**score(truth, predicted, labels or [f"c{n}" for n in range(len(counts))]), **more}


def test_all_that_a_manager_asks_for() -> None:
    each = found([[43, 7], [7, 43]], ["angry", "happy"], uar_ci=(0.77, 0.92), speakers=10, interval_over="speaker")
    assert conclusion(each) == (
        "About 86 of 100 recordings of a new speaker are right, each class counted alike; chance is 50; between 77 and "
        "92 with 95 % confidence; most often it takes angry for happy (14 of 100)."
    )


def test_classes_count_alike() -> None:
    told = conclusion(found([[100, 0], [10, 0]]))
    assert told.startswith("About 50 of 100 recordings of a new speaker are right, each class counted alike: no better")
    assert "c1 for c0 (100 of 100)" in told


@pytest.mark.parametrize("bounds", [None, (0.001, 0.989), [0.2, 0.701]])
def test_an_interval_that_says_nothing_is_told_as_such(bounds: Any) -> None:
    told = conclusion(found([[9, 1], [1, 9]], uar_ci=bounds, speakers=1, interval_over="speaker"))
    assert "too few speakers (1) to tell how sure that is" in told
    assert "confidence" not in told
    assert not says_something(bounds)


def test_recordings_stand_in_for_speakers_that_are_not_known() -> None:
    told = conclusion(found([[9, 1], [1, 9]], uar_ci=None, interval_over="recording"), "that it was not trained on")
    assert "too few recordings to tell" in told
    assert "100 recordings that it was not trained on are right" in told


def test_what_was_not_measured_over_speakers_claims_no_interval() -> None:
    assert conclusion(found([[9, 0], [0, 9]])) == (
        "About 100 of 100 recordings of a new speaker are right, each class counted alike; chance is 50."
    )


def test_one_split_of_few_speakers_is_called_that() -> None:
    assert "measured once, on 1 speaker, too few speakers to tell" in conclusion(found([[9, 0], [0, 9]], speakers=1))
    told = conclusion(found([[9, 0], [0, 9]], speakers=40))
    assert told.endswith("measured once, on 40 speakers.")


def test_worse_than_chance_and_chance_that_is_not_ruled_out() -> None:
    worse = conclusion(found([[1, 9], [9, 1]], uar_ci=(0.05, 0.2), speakers=4))
    assert "no better than chance, which is 50; between 5 and 20" in worse
    assert "rule chance out" not in worse
    assert "too few speakers (4) to rule chance out" in conclusion(
        found([[6, 4], [4, 6]], uar_ci=(0.4, 0.8), speakers=4)
    )


def test_one_class_and_no_recording() -> None:
    assert conclusion(found([[11, 1], [0, 0]], ["sad", "happy"])) == (
        "All recordings are sad, so that nothing can be told apart; 92 of 100 are right."
    )
    assert conclusion({"labels": ["a"], "confusion": [[0]], "uar": 0.0, "wa": 0.0}) == "No recording was measured."


def test_hundreds_of_classes() -> None:
    counts = [[int(row == column) for column in range(300)] for row in range(300)]
    counts[7] = [0] * 300
    counts[7][9] = 1
    told = conclusion(found(counts))
    assert "chance is 0.3;" in told
    assert told.endswith("c7 for c9 (100 of 100).")


def test_labels_of_every_kind_stand_as_they_are_and_long_ones_are_cut() -> None:
    told = conclusion(found([[5, 5], [0, 9]], ["<b>злость</b>", "x" * 500]))
    assert f"takes <b>злость</b> for {'x' * 39}… (50 of 100)" in told


@pytest.mark.parametrize(
    ("protocol", "whose"),
    [
        ("speaker-disjoint 5-fold (10 speakers)", "of a new speaker"),
        ("clip-wise hold-out (speakers and recordings shared)", "of speakers that it was trained on"),
        ("recording-disjoint hold-out", "that it was not trained on"),
    ],
)
def test_a_protocol_says_whose_recordings_they_are(protocol: str, whose: str) -> None:
    assert whose_of(protocol) == whose
