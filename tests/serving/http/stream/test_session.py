"""A session without a socket: whatever parts its audio comes in, what it says is the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emotions.audio.decode import to_model_rate
from emotions.audio.speech.network import speech_network
from emotions.audio.speech.windows import split_speech
from emotions.audio.windows import FloatArray, WindowSpec, split
from serving.http.stream.messages import StreamConfig, StreamError
from serving.http.stream.schedule import Part, advance
from serving.http.stream.session import Session
from serving.http.stream.track import Cut, Due, Event, Started, Stopped
from tests.emotions.audio.speech.conftest import between_silences, real_clips, sounds_without_speech
from tests.serving.http.stream.conftest import cut, s16

SPEC = WindowSpec(8_000, 4_000, dynamic=True)


@pytest.fixture(scope="module")
def talk() -> FloatArray:
    return between_silences(real_clips()[:3])


@dataclass
class Heard:
    """What a session said: windows as (channel, start, length), measurements as (channel, start, end)."""

    windows: list[tuple[int, int, int]]
    due: list[tuple[int, int, int]]
    segments: list[tuple[int, int, int]]
    samples: list[FloatArray]


def heard(events: list[Event]) -> Heard:
    found, last = Heard([], [], [], []), (0, 0)
    for event in events:
        channel, begin = event.utterance.channel, event.utterance.begin
        match event:
            case Cut(windows=windows):
                rows = [*zip(windows.starts.tolist(), windows.lengths.tolist(), strict=True)]
                found.windows += [(channel, *row) for row in rows]
                found.samples += [row[:length] for row, (_, length) in zip(windows.samples, rows, strict=True)]
                last = rows[-1]
            case Due(window=window):
                start, length = last if window is None else (int(window.starts[0]), int(window.lengths[0]))
                found.due.append((channel, start, start + length))
            case Stopped(end=end):
                found.segments.append((channel, begin, end))
            case Started():
                assert found.windows == [] or begin >= 0
    return found


def events_of(config: StreamConfig, parts: list[bytes], spec: WindowSpec = SPEC) -> list[Event]:
    session = Session(config, spec, speech_network() if config.vad else None)
    given_parts: list[bytes | None] = [*parts, None]
    events: list[Event] = []
    for part in given_parts:
        (outcome,) = advance([Part(session, part)])
        assert not isinstance(outcome, StreamError)
        events += outcome
    return events


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 60_000),
    st.sampled_from([4_000, 8_000, 9_500]),
    st.sampled_from(["pcm_s16le", "pcm_f32le"]),
    st.sampled_from([1000, 330]),
)
def test_all_of_the_audio_in_any_parts_is_cut_as_the_whole(
    seed: int, length: int, hop: int, encoding: str, interval_ms: int
) -> None:
    random = np.random.default_rng(seed)
    waveform = s16(random.uniform(-0.5, 0.5, length).astype(np.float32))
    samples = np.frombuffer(waveform, "<i2").astype(np.float32) / 32_768
    data = waveform if encoding == "pcm_s16le" else samples.astype("<f4").tobytes()
    config = StreamConfig.model_validate({"encoding": encoding, "vad": False, "interval_ms": interval_ms})
    spec = WindowSpec(8_000, hop, dynamic=True)
    found = heard(events_of(config, cut(data, random, 9_001), spec))
    if length < 400:
        assert found.windows == []
        return
    whole = split(samples, spec)
    assert found.windows == [
        (0, start, size) for start, size in zip(whole.starts.tolist(), whole.lengths.tolist(), strict=True)
    ]
    for row, start in zip(found.samples, whole.starts, strict=True):
        np.testing.assert_array_equal(row, samples[start : start + 8_000])
    every = 16 * interval_ms
    assert found.due == [(0, max(0, at - 8_000), at) for at in range(every, length + 1, every)]


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1))
def test_speech_in_any_parts_is_cut_as_the_whole(talk: FloatArray, seed: int) -> None:
    random = np.random.default_rng(seed)
    data = s16(talk)
    samples = np.frombuffer(data, "<i2").astype(np.float32) / 32_768
    events = events_of(StreamConfig(interval_ms=500), cut(data, random, 20_000))
    found, (whole, speech) = heard(events), split_speech(samples, SPEC)
    assert found.segments == [(0, span.begin, span.end) for span in speech.spans]
    assert [start for _, start, _ in found.windows] == whole.starts.tolist()
    assert [size for _, _, size in found.windows] == whole.lengths.tolist()
    expected = [
        (0, max(span.begin, at - 8_000), at)
        for span in speech.spans
        for at in range(span.begin + 8_000, span.end - 1_600 + 1, 8_000)
    ]
    assert found.due == expected
    kinds = [type(event) for event in events if isinstance(event, Started | Stopped)]
    assert kinds == [Started, Stopped] * len(speech.spans)


def test_channels_of_another_rate_are_streams_of_their_own(talk: FloatArray) -> None:
    other = np.concatenate([sounds_without_speech()["tone"], talk])[: len(talk)]
    both = np.stack([talk, other])
    ratio = 44_100 / 16_000
    at = np.arange(int(both.shape[1] * ratio)) / ratio
    stereo = np.stack([np.interp(at, np.arange(both.shape[1]), each) for each in both]).astype(np.float32)
    data = stereo.T.astype("<f4").tobytes()
    config = StreamConfig(rate=44_100, channels=2, encoding="pcm_f32le")
    found = heard(events_of(config, cut(data, np.random.default_rng(0), 50_000)))
    for channel, waveform in enumerate(stereo):
        windows, speech = split_speech(to_model_rate(waveform, 44_100), SPEC)
        assert [(start, end) for number, start, end in found.segments if number == channel] == [
            (span.begin, span.end) for span in speech.spans
        ]
        assert [start for number, start, _ in found.windows if number == channel] == windows.starts.tolist()


def test_streams_in_one_batch_do_not_change_each_other(talk: FloatArray) -> None:
    random = np.random.default_rng(0)
    alone = heard(events_of(StreamConfig(), [s16(talk)]))
    sessions = [Session(StreamConfig(), SPEC, speech_network()) for _ in range(3)]
    parts = [cut(s16(waveform), random, 30_000) for waveform in (talk, talk[40_000:], sounds_without_speech()["busy"])]
    events: list[list[Event]] = [[] for _ in sessions]
    for turn in range(max(map(len, parts)) + 1):
        ready = [number for number, each in enumerate(parts) if turn <= len(each)]
        given_parts = [Part(sessions[number], (*parts[number], None)[turn]) for number in ready]
        for number, outcome in zip(ready, advance(given_parts), strict=True):
            assert not isinstance(outcome, StreamError)
            events[number] += outcome
    together = heard(events[0])
    assert (together.segments, together.windows, together.due) == (alone.segments, alone.windows, alone.due)
    assert heard(events[1]).segments
    assert events[2] == []


def test_a_frame_that_is_no_number_is_dropped() -> None:
    session = Session(StreamConfig(encoding="pcm_f32le", vad=False), SPEC, None)
    good = np.full(8_000, 0.25, "<f4").tobytes()
    bad = np.array([0.5, np.nan], "<f4").tobytes()
    outcomes = advance([Part(session, good[:-2])]) + advance([Part(session, good[-2:] + bad)])
    assert isinstance(outcomes[1], StreamError)
    assert outcomes[1].code == "invalid_audio_frame"
    (rest,) = advance([Part(session, good)])
    (last,) = advance([Part(session, None)])
    assert not isinstance(outcomes[0], StreamError)
    assert not isinstance(rest, StreamError)
    assert not isinstance(last, StreamError)
    assert heard(outcomes[0] + rest + last).segments == [(0, 0, 15_999)]


def test_what_holds_nothing_has_no_windows() -> None:
    config = StreamConfig(vad=False)
    (stopped,) = [event for event in events_of(config, [bytes(64_000)]) if isinstance(event, Stopped)]
    assert not stopped.audible
    assert not [event for event in events_of(config, [bytes(64_000)]) if isinstance(event, Due)]
    assert events_of(StreamConfig(), [bytes(64_000)]) == []
    assert events_of(StreamConfig(), []) == []


def test_flush_measures_what_came_since() -> None:
    session = Session(StreamConfig(vad=False), SPEC, None)
    advance([Part(session, s16(np.full(6_000, 0.25, np.float32)))])
    assert heard(session.measure()).due == [(0, 0, 6_000)]
    assert session.measure() == []
