from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotions.audio.windows import (
    Float64Array,
    FloatArray,
    Pooling,
    WindowSpec,
    WindowSplitter,
    pool,
    split,
    window_starts,
    window_weights,
)

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


def weights_of(samples: int, spec: WindowSpec, pooling: Pooling = "coverage") -> Float64Array:
    starts = window_starts(samples, spec)
    return window_weights(starts, np.minimum(spec.samples, samples - starts), spec.hop_samples, pooling)


def shared_equally(samples: int, spec: WindowSpec) -> Float64Array:
    """Sample by sample: each one's weight of 1 is shared by the windows that cover it."""
    spans = [slice(start, start + spec.samples) for start in window_starts(samples, spec)]
    covering = np.zeros(samples)
    for span in spans:
        covering[span] += 1
    return np.array([(1 / covering[span]).sum() for span in spans])


@given(samples=st.integers(1, 400), window=st.integers(1, 50))
def test_each_sample_counts_once_shared_equally_by_its_windows(samples: int, window: int) -> None:
    spec = WindowSpec(window, window)
    assert weights_of(samples, spec) == pytest.approx(shared_equally(samples, spec))


@given(window=st.integers(1, 50), hops=st.integers(1, 6), more=st.integers(0, 6))
def test_overlapping_windows_on_the_grid_share_equally_too(window: int, hops: int, more: int) -> None:
    spec = WindowSpec(window, -(-window // hops))
    samples = window + more * spec.hop_samples
    assert weights_of(samples, spec) == pytest.approx(shared_equally(samples, spec))


@given(samples=st.integers(1, 400), window=st.integers(1, 50), data=st.data())
def test_the_weights_of_a_clip_are_its_samples(samples: int, window: int, data: st.DataObject) -> None:
    weights = weights_of(samples, WindowSpec(window, data.draw(st.integers(1, window))))
    assert weights.min() > 0
    assert weights.sum() == pytest.approx(samples)


@given(rows=st.lists(st.floats(0, 1, width=32), min_size=1, max_size=40), samples=st.integers(1, 400), spec=specs)
def test_without_a_rule_windows_count_equally_to_the_bit(rows: list[float], samples: int, spec: WindowSpec) -> None:
    assert set(weights_of(samples, spec, "mean")) == {1.0}
    values = np.array([rows, [1 - row for row in rows]], np.float32).T
    before = values.mean(axis=0, dtype=np.float64).astype(np.float32)
    assert pool(values, np.ones(len(rows))).tolist() == before.tolist()


RATE, MORE = 16_000, 160


def pooled(emotion: FloatArray, spec: WindowSpec) -> float:
    """Probability of a clip, by a model that tells the share of a window's samples that have an emotion."""
    windows = split(emotion, spec)
    return float(pool(windows.samples.mean(axis=1, keepdims=True), weights_of(len(emotion), spec))[0])


@settings(deadline=None)
@given(
    window=st.integers(RATE, 10 * RATE),
    overlap=st.floats(1, 8),
    samples=st.floats(1, 4),
    hops=st.integers(0, 8),
    before=st.integers(-2 * MORE, MORE),
    change=st.floats(0, 1),
    last=st.booleans(),
)
def test_10_ms_more_change_a_probability_by_next_to_nothing(
    window: int, overlap: float, samples: float, hops: int, before: int, change: float, last: bool
) -> None:
    """Lengths lie anywhere, and about multiples of the hop, where a window is added; the emotion changes once."""
    spec = WindowSpec(window, max(1, round(window / overlap)))
    length = max(window, window + hops * spec.hop_samples + before, round(samples * window) if not hops else 0)
    emotion = (np.arange(length + MORE) < change * length).astype(np.float32)
    emotion = 1 - emotion if last else emotion
    assert pooled(emotion, spec) == pytest.approx(pooled(emotion[:-MORE], spec), abs=0.02)


def test_the_second_half_of_two_windows_and_10_ms_is_half() -> None:
    spec = WindowSpec(5 * RATE, 5 * RATE)
    first, *second = weights_of(10 * RATE + MORE, spec)
    assert sum(second) / (first + sum(second)) == pytest.approx(0.5, abs=0.001)


@pytest.mark.parametrize(("samples", "hop"), [(0, 1), (1, 0), (-1, 1)])
def test_a_window_without_samples_is_refused(samples: int, hop: int) -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        WindowSpec(samples, hop)


@pytest.mark.parametrize("dynamic", [True, False])
def test_the_latest_window_of_a_clip_that_arrives(dynamic: bool) -> None:
    clip = np.arange(1, 24, dtype=np.float32)
    splitter = WindowSplitter(WindowSpec(8, 3, dynamic=dynamic))
    splitter.push(clip[:5])
    short = splitter.latest()
    assert (short.starts.tolist(), short.lengths.tolist()) == ([0], [5])
    np.testing.assert_array_equal(short.samples[0, :5], clip[:5])
    assert short.samples.shape[1] == (5 if dynamic else 8)
    for end in range(6, 24):
        splitter.push(clip[end - 1 : end])
        latest, start = splitter.latest(), max(0, end - 8)
        assert (latest.starts.tolist(), latest.lengths.tolist()) == ([start], [min(end, 8)])
        np.testing.assert_array_equal(latest.samples[0, : min(end, 8)], clip[start:end])
