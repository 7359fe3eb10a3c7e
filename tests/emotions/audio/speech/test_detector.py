"""A stream's speech: the same segments however its samples are cut, alone and among others."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotions.audio.speech.detector import SpeechDetector
from emotions.audio.speech.network import speech_network
from emotions.audio.speech.segmenter import SegmentOptions, SpeechSpan
from emotions.audio.windows import FloatArray
from tests.emotions.audio.speech.conftest import sounds_without_speech


def _spans(waveform: FloatArray, options: SegmentOptions | None = None) -> list[SpeechSpan]:
    detector = SpeechDetector(speech_network(), options or SegmentOptions())
    return [*detector.push(waveform), *detector.finish()]


def test_the_segments_are_those_of_the_original(talk: FloatArray) -> None:
    torch, silero = import_module("torch"), import_module("silero_vad")
    network = silero.load_silero_vad(onnx=True)
    for samples in (len(talk), len(talk) - 100, 40_000):
        wanted = silero.get_speech_timestamps(torch.from_numpy(talk[:samples]), network)
        found = _spans(talk[:samples], SegmentOptions(min_silence_sec=0.1, pad_sec=0.03, sure=0))
        assert [{"start": span.begin, "end": span.end} for span in found] == wanted
        assert found


@given(cuts=st.lists(st.integers(0, 160_000), max_size=30))
@settings(deadline=None, max_examples=25)
def test_any_cut_gives_the_same_segments(talk: FloatArray, cuts: list[int]) -> None:
    waveform, detector, found = talk[:160_000], SpeechDetector(speech_network()), list[SpeechSpan]()
    for part in np.split(waveform, sorted(cuts)):
        found += detector.push(part)
    assert [*found, *detector.finish()] == _spans(waveform)


def test_streams_in_one_batch_are_as_alone(clips: list[FloatArray]) -> None:
    network, random = speech_network(), np.random.default_rng(0)
    detectors = [SpeechDetector(network) for _ in clips]
    found: list[list[SpeechSpan]] = [[] for _ in clips]
    given_to = [0] * len(clips)
    while any(at < len(clip) for at, clip in zip(given_to, clips, strict=True)):
        parts = []
        for number, clip in enumerate(clips):
            size = int(random.integers(0, 5_000))
            parts.append(clip[given_to[number] : given_to[number] + size])
            given_to[number] += size
        for number, more in enumerate(SpeechDetector.push_all(network, detectors, parts)):
            found[number] += more
    for clip, detector, spans in zip(clips, detectors, found, strict=True):
        assert [*spans, *detector.finish()] == _spans(clip)
    assert SpeechDetector.push_all(network, [], []) == []


@pytest.mark.parametrize("name", [*sounds_without_speech()])
def test_other_sounds_are_no_speech(name: str) -> None:
    assert _spans(sounds_without_speech()[name]) == []


@pytest.mark.parametrize("samples", [0, 1, 511, 512])
def test_a_stream_may_end_anywhere(samples: int) -> None:
    assert _spans(np.zeros(samples, np.float32)) == []
