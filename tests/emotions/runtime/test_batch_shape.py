"""Batches have a device's shapes, and smaller ones where memory is short; the answers stay the same."""

from __future__ import annotations

import logging
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from emotions.audio.windows import FloatArray, IntArray
from emotions.errors import DeviceLost, OutOfMemory
from emotions.runtime.batch_limit import BatchLimit
from emotions.runtime.batch_shape import CPU_SHAPES, GPU_SHAPES, Probabilities, ShapedRun, Shapes

LACKING = (
    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Conv node. Name:'c' "
    "Status Message: \n/onnxruntime_src/onnxruntime/core/framework/bfc_arena.cc:376 void* "
    "onnxruntime::BFCArena::AllocateRawInternal(size_t, bool, onnxruntime::Stream*) "
    "Failed to allocate memory for requested buffer of size 2830172160\n"
)


class Model:
    """Answers the sum and the length of each window; keeps the shapes that it is given."""

    def __init__(self, most: int | None = None) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.most = most

    def __call__(self, waveform: FloatArray, length: IntArray) -> Probabilities:
        self.shapes.append(waveform.shape)
        assert waveform.flags["C_CONTIGUOUS"]
        assert waveform.shape[0] == len(length)
        assert length.max() <= waveform.shape[1]
        if self.most is not None and waveform.size > self.most:
            raise RuntimeError(LACKING)
        assert all(not row[samples:].any() for row, samples in zip(waveform, length, strict=True))
        return {"x": np.stack([waveform.sum(axis=1), length.astype(np.float32)], axis=1)}


def batch(lengths: list[int], width: int = 0) -> tuple[FloatArray, IntArray]:
    waveform = np.zeros((len(lengths), width or max(lengths)), np.float32)
    for row, samples in enumerate(lengths):
        waveform[row, :samples] = row + 1
    return waveform, np.array(lengths, np.int64)


def check(answers: Probabilities, length: IntArray) -> None:
    np.testing.assert_array_equal(answers["x"][:, 1], length)
    np.testing.assert_allclose(answers["x"][:, 0], length * np.arange(1.0, len(length) + 1))


def test_dynamic_windows_are_run_in_parts_of_like_length() -> None:
    model = Model()
    waveform, length = batch([3, 10, 4, 30, 2], 40)
    check(ShapedRun(model, Shapes(), longest=160_000, limit=BatchLimit(20))(waveform, length), length)
    assert model.shapes == [(1, 30), (2, 10), (2, 3)]


def test_windows_of_unlike_length_run_apart_where_padding_costs() -> None:
    model = Model()
    waveform, length = batch([100, 20, 95, 90, 89, 21])
    check(ShapedRun(model, CPU_SHAPES, longest=160_000, limit=BatchLimit(1000))(waveform, length), length)
    assert model.shapes == [(4, 100), (2, 21)]


def test_a_cpu_gets_windows_of_one_size_as_they_are() -> None:
    model = Model()
    waveform, length = batch([30, 20, 10])
    check(ShapedRun(model, CPU_SHAPES, longest=None)(waveform, length), length)
    assert model.shapes == [(3, 30)]


@pytest.mark.parametrize(
    ("windows", "runs"),
    [
        *((1, [1]), (2, [2]), (3, [4]), (5, [4, 1]), (6, [8]), (9, [8, 1]), (11, [8, 4]), (12, [16])),
        *((23, [16, 8]), (24, [32]), (47, [32, 16]), (48, [64]), (64, [64]), (65, [64, 1]), (128, [64, 64])),
    ],
)
def test_on_a_gpu_batches_have_few_sizes(windows: int, runs: list[int]) -> None:
    model = Model()
    waveform, length = batch([40 + row % 3 for row in range(windows)], 60)
    check(ShapedRun(model, GPU_SHAPES, longest=None)(waveform, length), length)
    assert model.shapes == [(size, 60) for size in runs]


def test_lengths_on_a_gpu_give_frames_that_kernels_divide_by_eight_and_are_few() -> None:
    lengths = {GPU_SHAPES.samples(samples) for samples in range(1, 30 * 16_000 + 1)}
    added = 1  # by the graphs
    assert all((samples - 400) % 320 == 0 and ((samples - 400) // 320 + 1 + added) % 8 == 0 for samples in lengths)
    assert len(lengths) == 22
    for samples in (400, 401, 2_320, 2_321, 48_000, 80_000, 160_000, 480_000):
        padded = GPU_SHAPES.samples(samples)
        assert samples <= padded <= max(samples + 2_560, samples * 4 // 3)
        assert GPU_SHAPES.samples(padded) == padded


def test_a_window_is_never_padded_past_the_longest() -> None:
    model = Model()
    waveform, length = batch([16_240, 16_000])
    check(ShapedRun(model, GPU_SHAPES, longest=16_240)(waveform, length), length)
    assert model.shapes == [(2, 16_240)]


def test_a_thousand_mixed_requests_reach_the_model_in_few_shapes(capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)
    model = Model()
    run = ShapedRun(model, GPU_SHAPES, longest=160_000, limit=BatchLimit(600 * 16_000))
    audio = 0
    for _ in range(1_000):
        lengths = [int(1_600 * random.lognormal(2.5, 0.8)) for _ in range(random.integers(1, 7))]
        waveform, length = batch([min(max(each, 400), 160_000) for each in lengths])
        audio += int(length.sum())
        check(run(waveform, length), length)
    counts = Counter(model.shapes)
    buckets = {GPU_SHAPES.samples(samples) for samples in range(400, 160_001)}
    assert {samples for _, samples in counts} <= {min(samples, 160_000) for samples in buckets}
    assert {size for size, _ in counts} <= {*GPU_SHAPES.batches}
    assert len(counts) <= len(buckets) * len(GPU_SHAPES.batches)
    assert len(counts) <= 48
    run_samples = sum(size * samples * times for (size, samples), times in counts.items())
    assert run_samples <= 1.3 * audio
    with capsys.disabled():
        print(f"\n1,000 requests: {len(counts)} shapes, {run_samples / audio:.2f} times their audio is run")


def test_a_batch_that_memory_does_not_hold_is_halved_once_and_for_all(caplog: pytest.LogCaptureFixture) -> None:
    model = Model(most=20 * 100)
    run = ShapedRun(model, GPU_SHAPES, longest=None)
    waveform, length = batch([100] * 64)
    with caplog.at_level(logging.WARNING):
        check(run(waveform, length), length)
        assert model.shapes == [(64, 100), (32, 100), *[(16, 100)] * 4]
        model.shapes.clear()
        check(run(waveform, length), length)
    assert model.shapes == [(16, 100)] * 4
    assert [record.getMessage().partition(" with")[0] for record in caplog.records] == ["out of memory"] * 2


def test_on_a_cpu_memory_is_shared_out_in_halves_too() -> None:
    model = Model(most=3 * 100)
    waveform, length = batch([100] * 7)
    check(ShapedRun(model, CPU_SHAPES, longest=None)(waveform, length), length)
    assert model.shapes == [(7, 100), *[(3, 100)] * 2, (1, 100)]


def test_one_window_that_memory_does_not_hold_is_said() -> None:
    run = ShapedRun(Model(most=50), GPU_SHAPES, longest=160_000)
    with pytest.raises(OutOfMemory, match=r"lacks memory for a window of .* s \(.*Failed to allocate memory"):
        run(*batch([100] * 9))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("CUDA failure 700: an illegal memory access was encountered ; GPU=0", DeviceLost),
        ("CUDA failure 70: no such ; GPU=0", RuntimeError),
        ("CUDNN failure 3: CUDNN_STATUS_BAD_PARAM ; GPU=0", RuntimeError),
        ("Got invalid dimensions for input: waveform", RuntimeError),
    ],
)
def test_other_failures_are_not_taken_for_a_lack_of_memory(text: str, kind: type[Exception]) -> None:
    def broken(*_: object) -> Probabilities:
        raise RuntimeError(text)

    with pytest.raises(kind, match=text.partition(": ")[2].partition(" ;")[0]):
        ShapedRun(broken, GPU_SHAPES, longest=None)(*batch([100] * 9))


def test_threads_that_lack_memory_together_halve_once(caplog: pytest.LogCaptureFixture) -> None:
    model = Model(most=40 * 100)
    run = ShapedRun(model, GPU_SHAPES, longest=None)
    inputs = batch([100] * 64)
    with caplog.at_level(logging.WARNING), ThreadPoolExecutor(4) as pool:
        for answers in pool.map(lambda _: run(*inputs), range(16)):
            check(answers, inputs[1])
    assert len(caplog.records) == 1
