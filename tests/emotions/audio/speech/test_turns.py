from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotions.audio.decode import MIN_SAMPLES, SAMPLE_RATE
from emotions.audio.speech.turns import turn_windows
from emotions.audio.speech.windows import Speech
from emotions.audio.windows import FloatArray, Windows, WindowSpec, split
from emotions.calls.spans import merged
from emotions.errors import NoTurns

SPEC = WindowSpec(8_000, 8_000, dynamic=True)
SAMPLES = np.random.default_rng(0).standard_normal(4 * SAMPLE_RATE).astype(np.float32)
times = st.integers(0, 500).map(lambda hundredths: hundredths / 100)
spans = st.lists(st.tuples(times, times).map(lambda pair: (min(pair), max(pair)))).map(merged)


def cut(turns: list[tuple[float, float]], size: int, samples: FloatArray = SAMPLES) -> tuple[list[Windows], Speech]:
    found = Speech()
    blocks = (samples[at : at + size] for at in range(0, len(samples), size))
    return [*turn_windows(blocks, SPEC, found, turns)], found


@given(spans, st.integers(150, 70_000))
def test_each_turn_is_cut_as_a_recording_of_its_own(turns: list[tuple[float, float]], size: int) -> None:
    inside = [(round(start * SAMPLE_RATE), min(len(SAMPLES), round(end * SAMPLE_RATE))) for start, end in turns]
    inside = [(begin, end) for begin, end in inside if end - begin >= MIN_SAMPLES]
    if not inside:
        with pytest.raises(NoTurns, match=r"no segment of this speaker lies in its 4\.00 s"):
            cut(turns, size)
        return
    windows, found = cut(turns, size)
    assert [(span.begin, span.end) for span in found.spans] == inside
    assert found.samples == len(SAMPLES)
    expected = [split(SAMPLES[begin:end], SPEC) for begin, end in inside]
    starts = [each.starts + begin for each, (begin, _) in zip(expected, inside, strict=True)]
    assert np.concatenate([each.starts for each in windows]).tolist() == np.concatenate(starts).tolist()
    for each in windows:
        for row, length, start in zip(each.samples, each.lengths, each.starts, strict=True):
            assert np.array_equal(row[:length], SAMPLES[start : start + length])
    powers = [np.mean(SAMPLES[begin:end].astype(np.float64) ** 2) for begin, end in inside]
    assert found.powers == pytest.approx(powers)
