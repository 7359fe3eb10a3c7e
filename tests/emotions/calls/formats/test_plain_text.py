from __future__ import annotations

import re

from hypothesis import given

from emotions.calls.formats.annotation import Annotation, Interval, Tier, Turns
from emotions.calls.formats.plain_text import audacity, rttm, srt, vtt
from tests.emotions.calls.formats.conftest import annotations

SCORED = Annotation(
    "a b/call 1.wav",
    5000.0,
    (
        Tier(
            "agent emotion",
            (Interval(0.5, 1.25, "angry & <b>", 0.756), Interval(4000.5, 4001, "x --> y")),
            "emotion",
            "agent",
        ),
        Tier("emotion", (Interval(1.0, 2.0, "sad", 0.5),), "emotion"),
    ),
    (Turns("agent one", 1, ((0.5, 1.25),)), Turns("", None, ((0.25, 1.0),))),
)


def test_labels_of_audacity() -> None:
    assert audacity(SCORED).splitlines() == [
        "0.500000\t1.250000\tagent emotion: angry & <b>",
        "1.000000\t2.000000\temotion: sad",
        "4000.500000\t4001.000000\tagent emotion: x --> y",
    ]
    one = Annotation("a.wav", 2.0, SCORED.tiers[1:])
    assert audacity(one) == "1.000000\t2.000000\tsad\n"


def test_turns_in_rttm() -> None:
    assert rttm(SCORED).splitlines() == [
        "SPEAKER a_b/call_1 1 0.250 0.750 <NA> <NA> speaker <NA> <NA>",
        "SPEAKER a_b/call_1 1 0.500 0.750 <NA> <NA> agent_one <NA> <NA>",
    ]


def test_subtitles() -> None:
    assert srt(SCORED).split("\n\n")[0] == "1\n00:00:00,500 --> 00:00:01,250\nagent: emotion angry & <b> 0.76"
    assert srt(SCORED).split("\n\n")[2] == "3\n01:06:40,500 --> 01:06:41,000\nagent: emotion x -> y\n"
    assert vtt(SCORED).split("\n\n")[:2] == [
        "WEBVTT",
        "00:00:00.500 --> 00:00:01.250\n<v agent>emotion angry &amp; &lt;b&gt; 0.76",
    ]
    assert vtt(Annotation("a.wav", 1.0, ())) == "WEBVTT\n"


@given(annotations())
def test_every_interval_is_a_line_or_a_cue(annotation: Annotation) -> None:
    count = sum(len(tier.intervals) for tier in annotation.tiers)
    assert len(audacity(annotation).splitlines()) == audacity(annotation).count("\n") == count
    assert len(rttm(annotation).splitlines()) == sum(len(turns.spans) for turns in annotation.turns)
    assert all(len(line.split()) == 10 for line in rttm(annotation).splitlines())
    for subtitles in (srt(annotation), vtt(annotation)):
        assert (
            len(re.findall(r"^\d\d:\d\d:\d\d[.,]\d{3} --> \d\d:\d\d:\d\d[.,]\d{3}$", subtitles, re.MULTILINE)) == count
        )
        assert subtitles.count("-->") == count
