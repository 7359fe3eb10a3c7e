from __future__ import annotations

import numpy as np
import pytest

from emotions.audio.speech.level import level_dbfs, measured
from emotions.audio.speech.windows import Speech, speech_windows, split_speech
from emotions.audio.windows import FloatArray
from tests.emotions.audio.speech.test_windows import SPEC


class _Piece:
    def __init__(self, samples: list[float], *, last: bool) -> None:
        self.samples, self.last = np.array(samples, np.float32), last


def test_each_segment_has_the_mean_of_its_squares() -> None:
    pieces = [_Piece([1, 1], last=False), _Piece([0, 0], last=True), _Piece([], last=False), _Piece([0.1], last=True)]
    powers: list[float] = []
    assert [*measured(pieces, powers)] == pieces
    assert powers == pytest.approx([0.5, 0.01])


def test_a_sine_of_full_amplitude_is_three_decibels_below_full_scale() -> None:
    sine = np.sin(2 * np.pi * np.arange(16_000) / 100)
    assert level_dbfs(float(np.mean(sine**2))) == pytest.approx(-3.01, abs=0.01)
    assert level_dbfs(0.0) is None


@pytest.mark.parametrize("size", [700, 90_000])
def test_the_level_is_that_of_the_segments_samples(talk: FloatArray, size: int) -> None:
    found = Speech()
    blocks = [talk[at : at + size] for at in range(0, len(talk), size)]
    assert [*speech_windows(iter(blocks), SPEC, found, enough=1)]
    expected = [float(np.mean(talk[span.begin : span.end].astype(np.float64) ** 2)) for span in found.spans]
    assert found.powers == pytest.approx(expected, rel=1e-6)
    assert split_speech(talk, SPEC)[1].powers == pytest.approx(expected, rel=1e-6)
