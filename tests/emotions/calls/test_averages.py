from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotions.calls.averages import average, quarters, units
from emotions.calls.spans import merged, total
from emotions.runtime.prediction import Prediction, WindowPrediction

LABELS = ("angry", "calm")


def part(start: float, end: float, angry: float) -> WindowPrediction:
    return WindowPrediction(
        start, end, {"emotion": {"angry": angry, "calm": 1 - angry}}, {"affect": {"arousal": angry}}
    )


@st.composite
def windows(draw: st.DrawFn) -> list[WindowPrediction]:
    """Of one length, in order, some overlapping and some apart."""
    steps = draw(st.lists(st.floats(0.05, 3), min_size=1, max_size=12))
    starts = [sum(steps[:number]) for number in range(len(steps))]
    return [part(start, start + 1, draw(st.floats(0, 1))) for start in starts]


def prediction(parts: list[WindowPrediction]) -> Prediction:
    return Prediction({"emotion": dict.fromkeys(LABELS, 0.5)}, tuple(parts), 40.0)


@given(windows())
def test_units_cover_the_windows_once(parts: list[WindowPrediction]) -> None:
    found = units(prediction(parts))
    assert total((each.start, each.end) for each in found) == pytest.approx(
        total(merged((each.start, each.end) for each in parts))
    )
    assert all(before.end <= after.start for before, after in pairwise(found))


def test_of_two_that_overlap_each_takes_its_half() -> None:
    found = units(prediction([part(0, 1, 0.2), part(0.6, 1.6, 0.8), part(5, 6, 0.5)]))
    assert [(each.start, each.end) for each in found] == [(0, 0.8), (0.8, 1.6), (5, 6)]
    assert units(prediction([])) == []


@given(windows())
def test_an_average_lies_among_what_it_is_of(parts: list[WindowPrediction]) -> None:
    found = average(units(prediction(parts)), 0, 40)
    angry = [each.probabilities["emotion"]["angry"] for each in parts]
    assert min(angry) - 1e-9 <= found.probabilities["emotion"]["angry"] <= max(angry) + 1e-9
    for named in (found.shares["emotion"], found.probabilities["emotion"]):
        assert sum(named.values()) == pytest.approx(1)
    assert found.values["affect"]["arousal"] == pytest.approx(found.probabilities["emotion"]["angry"])


def test_seconds_are_what_counts() -> None:
    found = average([part(0, 3, 0.9), part(10, 11, 0.1)], 0, 20)
    assert found.talk_sec == 4
    assert found.shares["emotion"] == pytest.approx({"angry": 0.75, "calm": 0.25})
    assert found.probabilities["emotion"]["angry"] == pytest.approx(0.7)


@given(windows())
def test_quarters_are_the_whole(parts: list[WindowPrediction]) -> None:
    whole, four = average(units(prediction(parts)), 0, 40), quarters(units(prediction(parts)), 40)
    assert [(each.start, each.end) for each in four] == [(0, 10), (10, 20), (20, 30), (30, 40)]
    assert sum(each.talk_sec for each in four) == pytest.approx(whole.talk_sec)
    spoken = [each for each in four if each.talk_sec]
    assert sum(each.probabilities["emotion"]["angry"] * each.talk_sec for each in spoken) == pytest.approx(
        whole.probabilities["emotion"]["angry"] * whole.talk_sec
    )
    assert all(each.shares == each.probabilities == each.values == {} for each in four if not each.talk_sec)
