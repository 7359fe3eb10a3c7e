from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotions.calls.conversation import Interruption, interruptions, overlap, overlap_of, silence
from emotions.calls.spans import Span, merged, total
from tests.emotions.calls.test_spans import TICKS, lists, ticks

people = st.lists(lists.map(merged), max_size=4)


@pytest.mark.parametrize(
    ("other", "count"),
    [
        ((4.0, 8.0), 1),
        ((4.5, 8.0), 1),
        ((4.6, 8.0), 0),  # both speak for less than half a second: the change of turns
        ((4.0, 4.9), 0),  # a "mhm": the other goes on
        ((4.0, 5.0), 0),  # both stop at once: no turn is taken
        ((5.0, 8.0), 0),  # a change without overlap
        ((0.0, 8.0), 0),  # both begin at once: neither interrupts
    ],
)
def test_who_interrupts(other: Span, count: int) -> None:
    found = interruptions([[(0.0, 5.0)], [other]])
    assert found == [Interruption(other[0], by=1, of=0)] * count


def test_an_interruption_is_between_those_two() -> None:
    agent, customer, third = [(0.0, 5.0), (7.0, 12.0)], [(4.0, 8.0)], [(20.0, 21.0)]
    found = interruptions([agent, customer, third])
    assert found == [Interruption(4.0, by=1, of=0), Interruption(7.0, by=0, of=1)]
    assert interruptions([agent, customer, third], least_sec=1.5) == []


@given(people)
def test_times_are_those_of_a_drawing(speech: list[list[Span]]) -> None:
    drawn = np.array([ticks(spans) for spans in speech]).reshape(-1, TICKS)
    at_once = drawn.sum(axis=0)
    assert overlap(speech) == (at_once > 1).sum()
    assert silence(speech, TICKS) == (at_once == 0).sum()
    for number, each in enumerate(drawn):
        assert overlap_of(speech, number) == (each & (at_once > 1)).sum()
    assert silence(speech, TICKS) + sum(map(total, speech)) >= TICKS


@given(people, st.floats(0.1, 10))
def test_an_interruption_is_an_overlap_that_takes_the_turn(speech: list[list[Span]], least_sec: float) -> None:
    for found in interruptions(speech, least_sec):
        assert found.by != found.of
        (taker,) = (span for span in speech[found.by] if span[0] == found.at)
        (taken,) = (span for span in speech[found.of] if span[0] < found.at < span[1])
        assert taker[1] > taken[1] >= found.at + least_sec


@given(people)
def test_nobody_interrupts_more_often_than_beginning_to_speak(speech: list[list[Span]]) -> None:
    found = interruptions(speech)
    for number, spans in enumerate(speech):
        others = len(speech) - 1
        assert sum(each.by == number for each in found) <= len(spans) * others
    assert {(each.by, each.of) for each in interruptions(speech[::-1])} == {
        (len(speech) - 1 - each.by, len(speech) - 1 - each.of) for each in found
    }
