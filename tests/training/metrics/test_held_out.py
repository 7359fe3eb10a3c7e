"""Held-out answers are kept as JSON without names, and damaged ones are refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from emotions.errors import ConfigError
from training.metrics.held_out import HeldOut, read_held_out


def some_answers() -> HeldOut:
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7]], np.float32)
    return HeldOut.of(probabilities, np.array([0, 0, 1]), np.array([7, 9, 7]), "speaker", "test clips")


def test_answers_are_read_as_they_were_written() -> None:
    answers = some_answers()
    found = read_held_out(json.loads(json.dumps(answers.summary())), "run.json")
    assert found is not None
    assert found.confidence.tolist() == answers.confidence.tolist() == [0.9, 0.6, 0.7]
    assert found.wrong.tolist() == [0, 1, 0]
    assert found.speakers.tolist() == [0, 1, 0]
    assert (found.count, len(found), found.unit, found.part) == (2, 3, "speaker", "test clips")
    assert read_held_out(None, "run.json") is None


def test_a_part_numbers_its_speakers_anew() -> None:
    assert some_answers().select(np.array([1])).speakers.tolist() == [0]


@pytest.mark.parametrize(
    "change",
    [
        {"confidence": [0.9, 1.1, 0.5]},
        {"confidence": [0.9, float("nan"), 0.5]},
        {"confidence": [0.9]},
        {"confidence": "high"},
        {"wrong": [0, 2, 1]},
        {"speakers": [0, float("inf"), 1]},
        {"speakers": [[0], [1], [2]]},
        {"unit": None, "speakers": None},
    ],
)
def test_damaged_answers_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"run\.json: its held-out answers are damaged"):
        read_held_out({**some_answers().summary(), **change}, "run.json")
    with pytest.raises(ConfigError, match="damaged"):
        read_held_out([1, 2], "run.json")
