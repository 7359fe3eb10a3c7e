"""Figures of merit, against hand-computed values."""

from __future__ import annotations

import json

import pytest

from training.metrics.classification import score

LABELS = ["angry", "happy", "sad"]


def test_known_values() -> None:
    scores = score([0, 0, 0, 0, 1, 2], [0, 0, 0, 1, 1, 0], LABELS)
    assert scores["uar"] == pytest.approx((3 / 4 + 1 + 0) / 3)
    assert scores["wa"] == pytest.approx(4 / 6)
    assert scores["macro_f1"] == pytest.approx((6 / 8 + 2 / 3 + 0) / 3)
    assert scores["confusion"] == [[3, 1, 0], [0, 1, 0], [1, 0, 0]]
    assert scores["per_class"]["angry"] == pytest.approx({"recall": 0.75, "precision": 0.75, "f1": 0.75, "clips": 4})


def test_a_class_absent_from_the_truth_is_left_out() -> None:
    scores = score([0, 0, 1, 1], [0, 2, 1, 1], LABELS)
    assert scores["uar"] == pytest.approx(0.75)
    assert scores["per_class"]["sad"]["recall"] is None
    assert scores["confusion"][2] == [0, 0, 0]


def test_uar_does_not_reward_the_majority() -> None:
    scores = score([0] * 98 + [1, 2], [0] * 100, LABELS)
    assert scores["uar"] == pytest.approx(1 / 3)
    assert scores["wa"] == pytest.approx(0.98)


def test_it_is_json() -> None:
    scores = score([0, 1], [0, 1], LABELS)
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores
    assert scores["labels"] == LABELS


@pytest.mark.parametrize(("truth", "predicted"), [([], []), ([0, 1], [0])])
def test_nothing_to_compare_is_refused(truth: list[int], predicted: list[int]) -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        score(truth, predicted, LABELS)
