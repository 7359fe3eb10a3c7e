from __future__ import annotations

import json
from dataclasses import replace

import pytest

from emotions.calls.call import Participant, call_summary
from emotions.runtime.prediction import Prediction, WindowPrediction

SCORES = {"emotion": {"angry": 0.75, "calm": 0.25}}


def talking(*spans: tuple[float, float], angry: float = 0.75, level: float | None = -20.0) -> Prediction:
    scores = {"emotion": {"angry": angry, "calm": 1 - angry}}
    parts = tuple(WindowPrediction(*span, scores) for span in spans)
    segments = tuple(replace(each, level_dbfs=level) for each in parts)
    return Prediction(scores, parts, 20.0, segments=segments)


def test_what_each_did_and_what_the_call_comes_to() -> None:
    agent = Participant("agent", 1, talking((0, 6), (10, 12)))
    customer = Participant("customer", 2, talking((5, 9), (10.5, 11), angry=0.25))
    found = call_summary([agent, customer], pad_sec=0)
    assert (found.duration_sec, found.talk_sec, found.silence_sec, found.overlap_sec) == (20, 11, 9, 1.5)
    assert found.interruptions == 1
    one, other = found.participants
    assert (one.talk_sec, one.segments, one.interruptions, one.interrupted, one.overlap_sec) == (8, 2, 0, 1, 1.5)
    assert (other.talk_sec, other.segments, other.interruptions, other.interrupted) == (4.5, 2, 1, 0)
    assert one.talk_share + other.talk_share == pytest.approx(1)
    assert (one.shares["emotion"]["angry"], other.shares["emotion"]["angry"]) == (1, 0)
    assert other.probabilities["emotion"]["angry"] == pytest.approx(0.25)
    assert [each.talk_sec for each in one.quarters] == [5, 1, 2, 0]
    assert one.level_dbfs == pytest.approx(-20)


def test_what_is_added_to_segments_is_no_overlap() -> None:
    people = [Participant("agent", 1, talking((0, 5))), Participant("customer", 2, talking((4.4, 9)))]
    assert [call_summary(people, pad_sec).interruptions for pad_sec in (0, 0.1)] == [1, 0]
    found = call_summary(people)
    assert found.overlap_sec == pytest.approx(0.4)
    assert found.talk_sec == 9


def test_who_says_nothing_is_there_all_the_same() -> None:
    silent = Participant("customer", 2, None, "silent: nothing to hear")
    found = call_summary([Participant("agent", 1, talking((0, 6))), silent])
    body = found.to_dict()["participants"][1]
    assert (body["talk_sec"], body["talk_share"], body["level_dbfs"], body["shares"]) == (0, 0, None, {})
    assert body["error"] == "silent: nothing to hear"
    assert found.silence_sec == 14
    json.dumps(found.to_dict(), allow_nan=False)


def test_levels_are_means_of_power() -> None:
    loud, soft = talking((0, 1), level=-10.0), talking((2, 5), level=-30.0)
    both = replace(loud, segments=loud.segments + soft.segments, windows=loud.windows + soft.windows)
    (found,) = call_summary([Participant("", None, both)]).participants
    assert found.level_dbfs == pytest.approx(-15.9, abs=0.1)  # 10 log10((0.1 * 1 + 0.001 * 3) / 4)
    assert found.speaker is None
    (without,) = call_summary([Participant("", None, talking((0, 1), level=None))]).participants
    assert without.level_dbfs is None
