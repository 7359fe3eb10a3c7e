from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.training.data.helpers import table_of
from training.metrics.agreement import agreement, agreement_line, alpha


def votes_of(*raters: str) -> np.ndarray:
    """Votes by clip of raters who write a letter a clip, ``.`` for none."""
    labels = sorted({*"".join(raters)} - {"."})
    return np.array(
        [[sum(each[clip] == label for each in raters) for label in labels] for clip in range(len(raters[0]))]
    )


def test_alpha_is_that_of_the_published_example() -> None:
    # Krippendorff (2011), section C: four observers, twelve units, missing data; nominal alpha 0.743.
    matrix = (
        ("1", "2", "3", "3", "2", "1", "4", "1", "2", ".", ".", "."),
        ("1", "2", "3", "3", "2", "2", "4", "1", "2", "5", ".", "3"),
        (".", "3", "3", "3", "2", "3", "4", "2", "2", "5", "1", "."),
        ("1", "2", "3", "3", "2", "4", "4", "1", "2", "5", "1", "."),
    )
    assert alpha(votes_of(*("".join(row) for row in matrix))) == pytest.approx(0.743, abs=5e-4)


def test_alpha_is_one_for_perfect_agreement_and_unknown_where_nothing_is_compared() -> None:
    assert alpha(votes_of("aabb", "aabb")) == 1
    assert alpha(votes_of("ab", "ba")) < 0
    assert alpha(votes_of("ab.", "..a")) is None
    assert alpha(votes_of("aaa", "aaa")) is None


def test_the_agreement_of_a_table_counts_ties_and_ratings() -> None:
    table = table_of([("s1", "a"), ("s1", "a"), ("s2", "b")])
    shares = ({"a": 1.0}, {"a": 0.5, "b": 0.5}, {"b": 2 / 3, "a": 1 / 3})
    rated = zip(table.clips, shares, (3, 2, 3), strict=True)
    clips = tuple(replace(clip, shares={"emotion": each}, raters={"emotion": n}) for clip, each, n in rated)
    found = agreement(replace(table, clips=clips), "emotion")
    assert (found["clips"], found["ties"], found["ratings"], found["rated_twice"]) == (3, 1, 8, 3)
    assert found["unanimous"] == pytest.approx(1 / 3)
    assert found["alpha"] == pytest.approx(alpha(np.array([[3, 0], [1, 1], [1, 2]])))
    assert "8 ratings: Krippendorff's alpha is" in agreement_line("emotion", found)
    without = tuple(replace(clip, raters={}) for clip in clips)
    alone = agreement(replace(table, clips=without), "emotion")
    assert "alpha" not in alone
    assert "learnt from shares of raters" in agreement_line("emotion", alone)
