"""Names of one person are told, with how sure that is, by the clips that there are; two persons are not accused."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotions.audio.windows import FloatArray
from tests.training.data.voices.helpers import embeddings
from training.data.voices import comparison
from training.data.voices.comparison import SCATTER, SPREAD, Comparison, compare_voices


def compared(persons: list[int], clips: int, seed: int = 0, labels: list[str] | None = None) -> Comparison:
    names = [f"n{number}" for number in range(len(persons)) for _ in range(clips)]
    return compare_voices(embeddings(persons, clips, seed), names, labels or ["a"] * len(names))


def told(found: Comparison) -> list[tuple[str, str]]:
    return [(pair.first, pair.second) for pair in found.pairs]


@pytest.mark.parametrize("others", [0, 1, 3, 20])
def test_two_names_of_one_person_are_told_among_few_and_many(others: int) -> None:
    found = compared([0, *range(1, others + 1), 0], 16)
    assert told(found) == [("n0", f"n{others + 1}")]
    [pair] = found.pairs
    assert pair.certainty > 0.9
    assert pair.distance < 0.3
    assert pair.clips == (16, 16)


@settings(max_examples=20, deadline=None, derandomize=True)  # a verdict that is sure is wrong now and then
@given(st.integers(2, 12), st.integers(1, 20), st.integers(0, 10_000))
def test_persons_of_their_own_are_not_accused(persons: int, clips: int, seed: int) -> None:
    assert told(compared(list(range(persons)), clips, seed)) == []


def test_certainty_grows_with_clips_and_falls_with_the_pairs_compared() -> None:
    def certainty(others: int, clips: int) -> float:
        found = compared([0, 0, *range(1, others + 1)], clips, seed=1)
        return float(found._certainty(np.array([0]))[0, 1])

    assert certainty(3, 2) < certainty(3, 6) < certainty(3, 20)
    assert certainty(50, 4) < certainty(2, 4)


def test_the_same_clips_under_two_names_are_told() -> None:
    values = embeddings([0, 1, 2], 8)
    names = [f"n{number}" for number in range(3) for _ in range(8)]
    found = compare_voices(np.concatenate([values, values[:8]]), [*names, *["again"] * 8], ["a"] * 32)
    assert told(found) == [("again", "n0")]
    assert found.pairs[0].distance == 0


def test_what_a_class_does_to_every_voice_is_no_likeness() -> None:
    persons, clips = list(range(8)), 12
    calm = embeddings(persons, clips)
    # Two persons are almost always angry, the others almost never.
    labels = ["angry" if (clip > 0) == (person in (2, 5)) else "calm" for person in persons for clip in range(clips)]
    angry = calm + 0.03 * np.outer(np.array(labels) == "angry", np.sign(np.arange(256) % 3 - 1))
    values = (angry / np.linalg.norm(angry, axis=1, keepdims=True)).astype(np.float32)
    names = [f"n{number}" for number in persons for _ in range(clips)]

    def likeness(values: FloatArray, labels: list[str]) -> float:
        """Distance of the two angry persons beside the usual one."""
        apart = compare_voices(values, names, labels).distances(np.arange(8))
        return float(apart[2, 5] / np.median(apart[np.triu_indices(8, 1)]))

    assert likeness(values, labels) == pytest.approx(likeness(calm, labels), rel=0.1)
    assert likeness(values, ["any"] * len(names)) < 0.92 * likeness(calm, labels)


def test_a_class_of_every_clip_takes_nothing_away() -> None:
    assert told(compared([0, 0, 1, 2], 16, labels=[str(number) for number in range(64)])) == [("n0", "n1")]


def test_the_order_of_clips_changes_nothing() -> None:
    values, names = embeddings([0, 1, 0, 2], 10), [f"n{number}" for number in range(4) for _ in range(10)]
    labels = ["ab"[clip % 2] for clip in range(40)]
    order = np.random.default_rng(0).permutation(40)
    one = compare_voices(values, names, labels)
    other = compare_voices(values[order], [names[at] for at in order], [labels[at] for at in order])
    assert one.names == other.names
    np.testing.assert_allclose(one.voices, other.voices, atol=1e-9)
    assert one.pairs[0].certainty == pytest.approx(other.pairs[0].certainty)


def test_few_names_and_clips_fall_back_to_what_was_measured() -> None:
    alone = compare_voices(embeddings([0], 1), ["one"], ["a"])
    assert (alone.scatter, alone.spread, alone.pairs) == (pytest.approx(SCATTER), SPREAD, [])
    assert all(pair.certainty < 0.9 for pair in compared([0, 0], 1).pairs)


def test_blocks_and_bounds(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    persons = [*range(20), 3]
    whole = compared(persons, 12)
    monkeypatch.setattr(comparison, "_BLOCK", 4)
    assert compared(persons, 12).pairs == whole.pairs
    monkeypatch.setattr(comparison, "_MAX_NAMES", 5)
    with caplog.at_level(logging.WARNING):
        assert len(compared(persons, 12).names) == 5
    assert "of 21 speakers the 5 with most clips are compared" in caplog.text
