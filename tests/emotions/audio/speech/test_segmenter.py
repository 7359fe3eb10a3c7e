"""Segments of speech from probabilities: the original's, in whatever parts they come."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotions.audio.decode import SAMPLE_RATE
from emotions.audio.speech.network import FRAME
from emotions.audio.speech.segmenter import Segmenter, SegmentOptions, SpeechSpan

SILERO = SegmentOptions(min_silence_sec=0.1, pad_sec=0.03, sure=0)
"""The original's defaults."""

runs = st.lists(st.tuples(st.sampled_from([0.0, 0.2, 0.4, 0.5, 0.9]), st.integers(1, 25)), max_size=20)
options = st.builds(
    SegmentOptions,
    threshold=st.sampled_from([0.1, 0.3, 0.5, 0.9]),
    min_speech_sec=st.sampled_from([0.0, 0.1, 0.25, 1.0]),
    min_silence_sec=st.sampled_from([0.0, 0.1, 0.3]),
    pad_sec=st.sampled_from([0.0, 0.03, 0.1, 0.4]),
    sure=st.sampled_from([0.0, 0.45, 0.8]),
)


def _probabilities(drawn: list[tuple[float, int]]) -> list[float]:
    return [value for value, times in drawn for _ in range(times)]


def _whole(probabilities: list[float], samples: int, asked: SegmentOptions) -> list[SpeechSpan]:
    segmenter = Segmenter(asked)
    return [*segmenter.push(probabilities), *segmenter.finish(samples)]


@given(drawn=runs, asked=options, short=st.integers(0, FRAME - 1))
@settings(deadline=None, max_examples=400)
def test_the_segments_are_those_of_silero(drawn: list[tuple[float, int]], asked: SegmentOptions, short: int) -> None:
    original = import_module("silero_vad.utils_vad").get_speech_timestamps_from_probs
    probabilities = _probabilities(drawn)
    samples = max(0, len(probabilities) * FRAME - short)
    wanted = original(
        probabilities,
        threshold=asked.threshold,
        min_speech_duration_ms=asked.min_speech_sec * 1000,
        min_silence_duration_ms=asked.min_silence_sec * 1000,
        speech_pad_ms=asked.pad_sec * 1000,
        audio_length_samples=samples,
    )
    found = _whole(probabilities, samples, replace(asked, sure=0))
    assert [{"start": span.begin, "end": span.end} for span in found] == wanted


@given(drawn=runs, asked=options, cuts=st.lists(st.integers(0, 200)))
@settings(deadline=None, max_examples=300)
def test_any_cut_gives_the_same_segments(
    drawn: list[tuple[float, int]], asked: SegmentOptions, cuts: list[int]
) -> None:
    probabilities = _probabilities(drawn)
    samples = len(probabilities) * FRAME
    whole = _whole(probabilities, samples, asked)
    segmenter, found = Segmenter(asked), list[SpeechSpan]()
    edges = [0, *sorted(min(cut, len(probabilities)) for cut in cuts), len(probabilities)]
    for first, last in pairwise(edges):
        found += segmenter.push(probabilities[first:last])
        upcoming = whole[len(found) :]
        assert all(span.begin >= segmenter.needed for span in upcoming)
        if (certain := segmenter.open) is not None:
            assert certain.begin == upcoming[0].begin
            assert certain.end <= upcoming[0].end
    assert [*found, *segmenter.finish(samples)] == whole


def test_short_bursts_are_no_speech_and_short_gaps_no_silence() -> None:
    probabilities = [0.9] * 3 + [0.0] * 20 + [0.9] * 20 + [0.0] * 2 + [0.9] * 20 + [0.0] * 20
    assert _whole(probabilities, 85 * FRAME, SILERO) == [SpeechSpan(23 * FRAME - 480, 65 * FRAME + 480)]


def test_what_is_never_sure_is_no_speech() -> None:
    unsure, sure = [0.0] * 20 + [0.7] * 40 + [0.0] * 20, [0.0] * 20 + [0.7] * 40 + [0.98] * 8 + [0.7] * 12 + [0.0] * 20
    assert _whole(unsure, 80 * FRAME, SegmentOptions()) == []
    assert _whole(unsure, 80 * FRAME, SegmentOptions(sure=0)) == [SpeechSpan(20 * FRAME - 1600, 60 * FRAME + 1600)]
    assert _whole(sure, 100 * FRAME, SegmentOptions()) == [SpeechSpan(20 * FRAME - 1600, 80 * FRAME + 1600)]


def test_what_grows_sure_late_begins_ten_seconds_before_it_and_no_more_is_kept() -> None:
    segmenter = Segmenter(SegmentOptions(pad_sec=0))
    for frame in range(1_000):
        assert segmenter.push([0.7]) == []
        assert segmenter.needed >= frame * FRAME - 10 * SAMPLE_RATE
    (found,) = [*segmenter.push([0.99] * 8), *segmenter.finish(1_008 * FRAME)]
    assert found.end == 1_008 * FRAME
    assert 1_000 * FRAME - 10 * SAMPLE_RATE <= found.begin <= 1_007 * FRAME - 10 * SAMPLE_RATE


@pytest.mark.parametrize(
    "wrong", [{"threshold": 0}, {"threshold": 1}, {"pad_sec": -0.1}, {"min_silence_sec": float("nan")}, {"sure": 1}]
)
def test_impossible_options_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="probabilities lie between"):
        SegmentOptions(**wrong)
