"""A recording cut into pieces: each has the mean of the windows that cover its middle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emotions.inputs.input_file import InputFile
from emotions.runtime.prediction import Prediction, WindowPrediction
from serving.batch.terminal import Terminal, timeline_lines
from serving.batch.timeline import timeline
from tests.conftest import Tone, WriteWav


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory, tone: Tone, write_wav: WriteWav) -> InputFile:
    path = write_wav(tmp_path_factory.mktemp("timeline") / "a.wav", np.concatenate([tone(3.0), 0.1 * tone(1.0)]))
    return InputFile(path, path.name)


def prediction(windows: list[tuple[float, float, float]]) -> Prediction:
    """Of windows with start, end and probability of ``a``."""
    made = tuple(WindowPrediction(start, end, {"emotion": {"a": a, "b": 1 - a}}) for start, end, a in windows)
    return Prediction({"emotion": {"a": 0.5, "b": 0.5}}, made, 4.0)


def test_overlapping_windows_are_averaged(recording: InputFile) -> None:
    found = timeline(recording, prediction([(0, 2, 0.2), (1, 3, 0.8), (2, 4, 0.4)]), 4)
    np.testing.assert_allclose(found.probabilities["emotion"]["a"], [0.2, 0.5, 0.6, 0.4], atol=1e-6)
    np.testing.assert_allclose(found.level, [0.3, 0.3, 0.3, 0.03], atol=1e-2)
    assert found.duration_sec == 4.0


def test_a_gap_takes_the_nearest_window(recording: InputFile) -> None:
    found = timeline(recording, prediction([(0, 1, 0.1), (3, 4, 0.9)]), 8)
    np.testing.assert_allclose(found.probabilities["emotion"]["a"], [0.1] * 4 + [0.9] * 4, atol=1e-6)


def test_between_segments_of_speech_there_is_nothing(recording: InputFile) -> None:
    found = prediction([(0.4, 1.1, 0.1), (3.02, 3.06, 0.9)])
    segments = tuple(
        replace(each, start=start, end=end)
        for each, start, end in zip(found.windows, (0.4, 3.02), (1.1, 3.06), strict=True)
    )
    only_speech = timeline(recording, replace(found, segments=segments), 8).probabilities["emotion"]["a"]
    np.testing.assert_allclose(only_speech, [np.nan, 0.1, np.nan, np.nan, np.nan, np.nan, 0.9, np.nan], atol=1e-6)
    shown = timeline(recording, replace(found, segments=segments), 8)
    rows = [line[-8:] for line in timeline_lines("a.wav", shown, Terminal(60, blocks=False))[1:4]]
    assert rows[0].strip()
    assert [[char != " " for char in row] for row in rows[1:]] == [[number in (1, 6) for number in range(8)]] * 2


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(pieces=st.integers(1, 500), window=st.floats(0.3, 4.0), hop=st.floats(0.2, 1.0))
def test_every_piece_is_a_distribution(recording: InputFile, pieces: int, window: float, hop: float) -> None:
    starts = np.arange(0, 4 - window + 1e-9, hop)
    found = timeline(recording, prediction([(s, s + window, 0.25 + s / 8) for s in starts]), pieces)
    total = found.probabilities["emotion"]["a"] + found.probabilities["emotion"]["b"]
    np.testing.assert_allclose(total, np.ones(pieces), atol=1e-5)
    assert len(found.level) == pieces
    assert 0.29 < found.level.max() < 0.31
