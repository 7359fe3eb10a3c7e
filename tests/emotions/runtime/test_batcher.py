from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotions.audio.windows import FloatArray, IntArray, Windows, WindowSpec, split
from emotions.errors import ModelError, Overloaded
from emotions.runtime.batch_shape import Probabilities
from emotions.runtime.batcher import Batcher


def clip(value: float, samples: int, window: int = 10) -> Windows:
    return split(np.full(samples, value, np.float32), WindowSpec(window, window, dynamic=True))


class Recorder:
    """A model that answers the mean of the real samples, and keeps the sizes of its batches."""

    def __init__(self, gate: threading.Event | None = None) -> None:
        self.sizes: list[int] = []
        self.gate = gate
        self.entered = threading.Event()

    def __call__(self, waveform: FloatArray, length: IntArray) -> Probabilities:
        self.sizes.append(len(waveform))
        self.entered.set()
        if self.gate:
            assert self.gate.wait(10)
        mean = waveform.sum(axis=1) / length
        return {"mean": mean[:, None].astype(np.float32)}


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 95), min_size=1, max_size=40),
    max_batch=st.integers(1, 12),
    fill=st.booleans(),
    clients=st.integers(1, 6),
    max_batch_sec=st.sampled_from([None, 1e-9, 1e-4]),
)
def test_every_clip_gets_its_own_answer(
    sizes: list[int], max_batch: int, fill: bool, clients: int, max_batch_sec: float | None
) -> None:
    model = Recorder()
    batcher = Batcher(model, max_batch=max_batch, fill=fill, max_batch_sec=None if fill else max_batch_sec)
    clips = [clip(index + 1, samples) for index, samples in enumerate(sizes)]
    with ThreadPoolExecutor(clients) as pool:
        futures = list(pool.map(batcher.submit, clips))
    batcher.close()
    for index, (future, windows) in enumerate(zip(futures, clips, strict=True)):
        means = future.result(timeout=0).probabilities["mean"]
        assert means.shape == (len(windows), 1)
        assert np.allclose(means, index + 1)
    assert max(model.sizes) <= max_batch
    assert sum(model.sizes) == sum(map(len, clips))
    if fill:
        assert all(size == max_batch for size in model.sizes[:-1])
    assert batcher.waiting_sec == 0


def test_a_free_worker_never_waits_for_more() -> None:
    batcher = Batcher(Recorder(), max_batch=8)
    assert batcher.submit(clip(1, 5)).result(timeout=5).batch_size == 1
    batcher.close()


def test_batches_fill_under_load() -> None:
    gate = threading.Event()
    model = Recorder(gate)
    batcher = Batcher(model, max_batch=4)
    first = batcher.submit(clip(0, 5))
    assert model.entered.wait(5)
    rest = [batcher.submit(clip(value, 5)) for value in range(1, 9)]
    gate.set()
    assert [future.result(5).probabilities["mean"][0, 0] for future in (first, *rest)] == list(range(9))
    assert model.sizes == [1, 4, 4]
    batcher.close()


@pytest.mark.parametrize(("fill", "order"), [(False, [1, 1, 2, 2, 1, 1]), (True, [1, 1, 1, 1, 2, 2])])
def test_clips_take_turns_but_in_a_folder(fill: bool, order: list[int]) -> None:
    gate, seen = threading.Event(), list[int]()
    model = Recorder(gate)

    def run(waveform: FloatArray, length: IntArray) -> Probabilities:
        seen.extend(int(value) for value in waveform[:, 0])
        return model(waveform, length)

    batcher = Batcher(run, max_batch=1, fill=fill)
    long = batcher.submit(clip(1, 40))
    assert model.entered.wait(5)
    short = batcher.submit(clip(2, 10)), batcher.submit(clip(2, 10))
    gate.set()
    batcher.close()
    assert [len(future.result(0).probabilities["mean"]) for future in (long, *short)] == [4, 1, 1]
    assert seen == order


def test_the_queue_is_bounded_in_seconds_of_audio() -> None:
    gate = threading.Event()
    model = Recorder(gate)
    batcher = Batcher(model, max_batch=1, max_queue_sec=2.0)
    running = batcher.submit(clip(1, 16_000, 16_000))
    assert model.entered.wait(5)
    queued = [batcher.submit(clip(2, 16_000, 16_000)) for _ in range(2)]
    with pytest.raises(Overloaded, match="2 s of audio are waiting"):
        batcher.submit(clip(3, 16_000, 16_000))
    gate.set()
    for future in (running, *queued):
        future.result(5)
    batcher.close()


def test_a_clip_longer_than_the_queue_is_taken_when_nothing_waits() -> None:
    batcher = Batcher(Recorder(), max_batch=4, max_queue_sec=0.001)
    assert len(batcher.submit(clip(1, 1_000)).result(5).probabilities["mean"]) == 100
    batcher.close()


def test_cancelled_clips_are_dropped_before_inference() -> None:
    gate = threading.Event()
    model = Recorder(gate)
    batcher = Batcher(model, max_batch=4)
    running = batcher.submit(clip(1, 5))
    assert model.entered.wait(5)
    abandoned = [batcher.submit(clip(2, 35)) for _ in range(3)]
    kept = batcher.submit(clip(3, 5))
    assert all(future.cancel() for future in abandoned)
    gate.set()
    assert kept.result(5).probabilities["mean"].tolist() == [[3]]
    running.result(5)
    batcher.close()
    assert model.sizes == [1, 1]
    assert batcher.waiting_sec == 0


def test_a_clip_cancelled_while_it_runs_hurts_nobody() -> None:
    gate = threading.Event()
    model = Recorder(gate)
    batcher = Batcher(model, max_batch=1)
    running = batcher.submit(clip(1, 5))
    assert model.entered.wait(5)
    running.cancel()
    gate.set()
    assert batcher.submit(clip(2, 5)).result(5).probabilities["mean"].tolist() == [[2]]
    batcher.close()


def test_a_model_that_fails_fails_its_batch_and_the_next_is_served() -> None:
    def model(waveform: FloatArray, length: IntArray) -> Probabilities:
        if waveform.max() > 5:
            raise ValueError("out of memory")
        return {"mean": waveform[:, :1]}

    batcher = Batcher(model, max_batch=1)
    with pytest.raises(ModelError, match="the model failed: out of memory"):
        batcher.submit(clip(9, 25)).result(5)
    assert batcher.submit(clip(1, 5)).result(5).probabilities["mean"].tolist() == [[1]]
    batcher.close()


def test_a_closed_batcher_finishes_its_queue_and_refuses_more() -> None:
    model = Recorder()
    batcher = Batcher(model, max_batch=64, fill=True)
    futures = [batcher.submit(clip(value, 5)) for value in range(10)]
    batcher.close()
    assert all(future.done() for future in futures)
    with pytest.raises(Overloaded, match="shutting down"):
        batcher.submit(clip(1, 5))


def test_a_batch_needs_room() -> None:
    with pytest.raises(ValueError, match="max_batch"):
        Batcher(Recorder(), max_batch=0)
    with pytest.raises(ValueError, match="got 1 and 0"):
        Batcher(Recorder(), max_batch=1, parallel_batches=0)


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 95), min_size=1, max_size=40),
    max_batch=st.integers(1, 12),
    fill=st.booleans(),
    parallel_batches=st.integers(2, 4),
)
def test_lanes_put_the_windows_of_a_clip_together_in_order(
    sizes: list[int], max_batch: int, fill: bool, parallel_batches: int
) -> None:
    batcher = Batcher(Recorder(), max_batch=max_batch, fill=fill, parallel_batches=parallel_batches)
    ramps = [np.arange(samples, dtype=np.float32) + 1000 * index for index, samples in enumerate(sizes)]
    clips = [split(ramp, WindowSpec(10, 10, dynamic=True)) for ramp in ramps]
    futures = [batcher.submit(windows) for windows in clips]
    batcher.close()
    for windows, future in zip(clips, futures, strict=True):
        means = windows.samples.sum(axis=1) / windows.lengths
        assert np.allclose(future.result(timeout=0).probabilities["mean"][:, 0], means)


def test_lanes_share_what_is_waiting() -> None:
    gate = threading.Event()
    model = Recorder(gate)
    batcher = Batcher(model, max_batch=8, parallel_batches=2)
    first = [batcher.submit(clip(0.5, 10)) for _ in range(2)]
    while len(model.sizes) < 2:
        model.entered.wait(1)
    rest = [batcher.submit(clip(0.5, 10)) for _ in range(10)]
    gate.set()
    batcher.close()
    assert all(future.done() for future in (*first, *rest))
    assert sorted(model.sizes) == [1, 1, 1, 1, 3, 5]  # lanes note theirs in any order


def test_one_long_clip_is_run_on_all_lanes() -> None:
    model, together = Recorder(), threading.Barrier(2)

    def run(waveform: FloatArray, length: IntArray) -> Probabilities:
        together.wait(10)
        return model(waveform, length)

    batcher = Batcher(run, max_batch=1, parallel_batches=2)
    assert len(batcher.submit(clip(1, 60)).result(20).probabilities["mean"]) == 6
    batcher.close()
    assert model.sizes == [1] * 6


class Clock:
    """Stands still but for what the model takes."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The batcher's clock: how fast its batches are does not depend on the machine."""
    made = Clock()
    monkeypatch.setattr("emotions.runtime.batcher.time", made)
    return made


def test_a_batch_holds_no_more_than_runs_in_its_time(clock: Clock) -> None:
    model, held, gate = Recorder(), threading.Event(), threading.Event()
    ended: dict[float, float] = {}

    def run(waveform: FloatArray, length: IntArray) -> Probabilities:
        clock.now += waveform.size * 0.002  # a window of 10 samples takes 20 ms
        ended.update((float(value), clock.now) for value in waveform[:, 0])
        answers = model(waveform, length)
        if len(model.sizes) == 3:
            held.set()
            assert gate.wait(10)
        return answers

    batcher = Batcher(run, max_batch=16, max_batch_sec=0.1)
    batcher.submit(clip(1, 10)).result(5)
    batcher.submit(clip(1, 300))
    assert held.wait(5)
    submitted = clock.now
    short = batcher.submit(clip(2, 10))
    gate.set()
    assert short.result(5).probabilities["mean"].tolist() == [[2.0]]
    batcher.close()
    assert ended[2] < ended[1]  # the long one goes on behind it
    assert max(model.sizes) <= 5
    assert sum(model.sizes) == 32
    assert ended[2] - submitted < 0.02 * 30 / 2


def test_clips_that_come_together_are_answered_one_by_one(clock: Clock) -> None:
    model, gate, order = Recorder(), threading.Event(), list[int]()

    def run(waveform: FloatArray, length: IntArray) -> Probabilities:
        clock.now += 0.01
        order.extend(int(value) for value in waveform[:, 0])
        assert len(order) == 1 or gate.wait(10)
        return model(waveform, length)

    batcher = Batcher(run, max_batch=1, max_batch_sec=0.2)
    batcher.submit(clip(1, 10)).result(5)
    futures = [batcher.submit(clip(value, 30)) for value in range(2, 8)]  # three windows each
    gate.set()
    for future in futures:
        future.result(5)
    batcher.close()
    assert order == [1, *(value for value in range(2, 8) for _ in range(3))]


def test_padding_counts_for_the_time_of_a_batch(clock: Clock) -> None:
    gate = threading.Event()
    model = Recorder()

    def run(waveform: FloatArray, length: IntArray) -> Probabilities:
        clock.now += waveform.size * 0.02
        answers = model(waveform, length)
        assert gate.wait(5)
        return answers

    batcher = Batcher(run, max_batch=16, max_batch_sec=1.0)
    waiting = [batcher.submit(clip(1, 10))]
    assert model.entered.wait(5)
    waiting += [batcher.submit(clip(1, 2)) for _ in range(8)]
    waiting += [batcher.submit(clip(1, 10))]
    gate.set()
    batcher.close()
    assert model.sizes == [1, 8, 1]
    assert all(future.done() for future in waiting)


def test_nothing_is_too_long_to_run() -> None:
    model = Recorder()
    batcher = Batcher(model, max_batch=16, max_batch_sec=1e-12)
    assert len(batcher.submit(clip(1, 95)).result(5).probabilities["mean"]) == 10
    assert len(batcher.submit(clip(1, 95)).result(5).probabilities["mean"]) == 10
    batcher.close()
    assert model.sizes == [10] + [1] * 10
