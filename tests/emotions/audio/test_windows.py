from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotions.audio.windows import WindowSpec, pool, split, window_starts

specs = st.builds(WindowSpec, st.integers(1, 50), st.integers(1, 70), st.booleans())


@given(samples=st.integers(1, 400), spec=specs)
def test_starts_are_those_of_the_specification(samples: int, spec: WindowSpec) -> None:
    window, hop = spec.samples, spec.hop_samples
    expected = [0] if samples <= window else sorted({min(k, samples - window) for k in range(0, samples, hop)})
    assert window_starts(samples, spec).tolist() == expected


@given(samples=st.integers(1, 400), spec=specs)
def test_windows_hold_the_clip_and_nothing_else(samples: int, spec: WindowSpec) -> None:
    waveform = np.arange(1, samples + 1, dtype=np.float32)
    windows = split(waveform, spec)
    assert len(windows) == len(windows.samples) == len(windows.starts)
    for row, length, start in zip(windows.samples, windows.lengths, windows.starts, strict=True):
        assert np.array_equal(row[:length], waveform[start : start + length])
        assert not row[length:].any()


@given(samples=st.integers(1, 400), window=st.integers(1, 50), data=st.data())
def test_every_sample_is_heard_where_windows_meet(samples: int, window: int, data: st.DataObject) -> None:
    spec = WindowSpec(window, data.draw(st.integers(1, window)))
    inputs = np.zeros(samples, bool)
    windows = split(np.ones(samples, np.float32), spec)
    for start, length in zip(windows.starts, windows.lengths, strict=True):
        inputs[start : start + length] = True
    assert inputs.all()


def test_only_the_window_of_a_short_clip_is_padded_and_not_where_the_window_is_dynamic() -> None:
    clip = np.ones(3, np.float32)
    assert split(clip, WindowSpec(5, 5)).samples.shape == (1, 5)
    assert split(clip, WindowSpec(5, 5, dynamic=True)).samples.shape == (1, 3)
    assert split(np.ones(11, np.float32), WindowSpec(5, 5)).lengths.tolist() == [5, 5, 5]


def test_pool_is_the_plain_mean() -> None:
    assert pool(np.array([[1, 0], [0.5, 0.5]], np.float32)).tolist() == [0.75, 0.25]


@pytest.mark.parametrize(("samples", "hop"), [(0, 1), (1, 0), (-1, 1)])
def test_a_window_without_samples_is_refused(samples: int, hop: int) -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        WindowSpec(samples, hop)
