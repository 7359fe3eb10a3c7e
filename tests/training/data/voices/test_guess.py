"""A guess at who speaks: right where voices are plain, the same in any order, and bounded in memory."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from tests.training.data.voices.helpers import embeddings
from training.data.voices import guess
from training.data.voices.guess import guess_speakers


@pytest.mark.parametrize("persons", [1, 2, 5, 10])
def test_plain_voices_are_told_apart(persons: int) -> None:
    truth = np.repeat(np.arange(persons), 20)
    found = guess_speakers(embeddings(list(range(persons)), 20), ["a", "b"] * (10 * persons))
    assert adjusted_rand_score(truth, found) > (0.9 if persons < 3 else 0.6)
    assert (np.diff(np.bincount(found)) <= 0).all()


def test_many_clips_are_clustered_by_a_part_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guess, "MAX_CLUSTERED", 60)
    monkeypatch.setattr(guess, "_BLOCK", 16)
    truth = np.repeat(np.arange(4), 40)
    assert adjusted_rand_score(truth, guess_speakers(embeddings([0, 1, 2, 3], 40), ["a"] * 160)) > 0.6


def test_one_clip_is_one_voice() -> None:
    assert guess_speakers(embeddings([0], 1), ["a"]).tolist() == [0]
    assert len(guess_speakers(embeddings([0, 1], 1), ["a", "a"])) == 2
