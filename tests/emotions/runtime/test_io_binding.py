from __future__ import annotations

import logging
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from emotions.audio.windows import FloatArray, IntArray
from emotions.bundle.bundle import read_bundle
from emotions.errors import DeviceError
from emotions.runtime.batch_shape import GPU_SHAPES
from emotions.runtime.failures import ORT_ERRORS
from emotions.runtime.io_binding import Buffers, IOBindingPool
from emotions.runtime.session import onnx_session, open_session
from tests.conftest import TINY_TARGETS, TINY_WINDOW
from tests.fake_cuda import FakeCuda


@pytest.fixture
def bound(tiny_bundle: Path) -> IOBindingPool:
    widths = {target: len(labels) for target, labels in TINY_TARGETS.items()}
    return IOBindingPool(onnx_session(tiny_bundle / "model.onnx", threads=1), Buffers(widths, "cpu"))


def batch(windows: int, seed: int = 0) -> tuple[FloatArray, IntArray]:
    random = np.random.default_rng(seed)
    waveform = random.normal(0, 0.1, (windows, TINY_WINDOW)).astype(np.float32)
    return waveform, random.integers(400, TINY_WINDOW, windows)


def test_answers_are_those_of_a_plain_run_to_the_bit(bound: IOBindingPool, tiny_bundle: Path) -> None:
    plain = open_session(read_bundle(tiny_bundle), device="cpu", threads=1).run
    for windows in (1, 2, 3, 8, 64, 65, 1):
        inputs = batch(windows, seed=windows)
        expected, answers = plain(*inputs), bound(*inputs)
        assert [*answers] == [*expected]
        for target, values in expected.items():
            np.testing.assert_array_equal(answers[target], values)


def test_an_answer_is_not_overwritten_by_the_next(bound: IOBindingPool) -> None:
    first = bound(*batch(2, seed=1))
    kept = {target: values.copy() for target, values in first.items()}
    bound(*batch(2, seed=2))
    for target, values in kept.items():
        np.testing.assert_array_equal(first[target], values)


def test_several_callers_share_no_buffer(bound: IOBindingPool) -> None:
    inputs = [batch(4, seed) for seed in range(16)]
    expected = [bound(*each) for each in inputs]
    with ThreadPoolExecutor(4) as pool:
        answers = [*pool.map(lambda each: bound(*each), inputs * 8)]
    for answer, said in zip(answers, expected * 8, strict=True):
        np.testing.assert_array_equal(answer["emotion"], said["emotion"])


def test_a_batch_of_other_windows_is_refused(bound: IOBindingPool) -> None:
    with pytest.raises(ORT_ERRORS, match="invalid dimensions"):
        bound(np.zeros((1, TINY_WINDOW + 1), np.float32), np.array([5]))


@pytest.mark.parametrize(("streams", "most", "opened"), [(1, 6, 3), (2, 6, 6), (2, 4, 4), (2, 1, 1)])
def test_each_size_and_stream_has_a_session_while_memory_allows(
    tiny_bundle: Path, streams: int, most: int, opened: int
) -> None:
    widths = {target: len(labels) for target, labels in TINY_TARGETS.items()}
    sessions = 0

    def another() -> Any:
        nonlocal sessions
        sessions += 1
        return onnx_session(tiny_bundle / "model.onnx", threads=1)

    pool = IOBindingPool(another(), Buffers(widths, "cpu"), another, streams=streams, most_sessions=most)
    for size in (1, 8, 64, 8, 1):
        pool(*batch(size))
    assert sessions == pool.sessions == opened
    inputs = [batch(size, seed=size) for size in (1, 8, 64)]
    expected = [pool(*each) for each in inputs]
    with ThreadPoolExecutor(4) as threads:
        answers = [*threads.map(lambda each: pool(*each), inputs * 8)]
    for answer, said in zip(answers, expected * 8, strict=True):
        np.testing.assert_array_equal(answer["emotion"], said["emotion"])
    assert sessions <= most  # where callers are more than streams


def test_no_memory_for_a_further_session_is_no_failure(tiny_bundle: Path) -> None:
    def another() -> Any:
        raise DeviceError("the GPU cannot be used: its memory is too small for the model")

    widths = {target: len(labels) for target, labels in TINY_TARGETS.items()}
    first = onnx_session(tiny_bundle / "model.onnx", threads=1)
    pool = IOBindingPool(first, Buffers(widths, "cpu"), another, streams=2, most_sessions=6)
    assert pool(*batch(8))["emotion"].shape == (8, 3)
    assert pool.sessions == 1


class Counted:
    """Opens sessions on the CPU that note the shapes of their runs, and lack memory while ``most`` of them are open."""

    def __init__(self, path: Path, most: int = 10**9) -> None:
        self.path, self.most = path, most
        self.opened: list[weakref.ref[Any]] = []
        self.runs: list[tuple[int, int]] = []
        """Number of the session, and windows, of each run."""

    @property
    def alive(self) -> int:
        return sum(session() is not None for session in self.opened)

    def __call__(self) -> Any:
        counted, number = self, len(self.opened)

        class Session(ort.InferenceSession):  # type: ignore[misc]
            def run_with_iobinding(self, binding: Any, run_options: Any = None) -> None:
                if counted.alive > counted.most:
                    raise RuntimeError("Failed to allocate memory for requested buffer of size 2830172160")
                counted.runs.append((number, binding.get_outputs()[0].shape()[0]))
                super().run_with_iobinding(binding, run_options)

        session = Session(str(self.path), providers=["CPUExecutionProvider"])
        self.opened.append(weakref.ref(session))
        return session

    def pool(self, streams: int, most: int) -> IOBindingPool:
        widths = {target: len(labels) for target, labels in TINY_TARGETS.items()}
        return IOBindingPool(self(), Buffers(widths, "cpu"), self, streams=streams, most_sessions=most)


def test_the_shape_used_longest_ago_gives_its_session_up(tiny_bundle: Path) -> None:
    counted = Counted(tiny_bundle / "model.onnx")
    pool = counted.pool(streams=1, most=3)
    for size in (1, 2, 4, 1, 8, 1, 4, 2):
        expected = onnx_session(counted.path, threads=1).run(["emotion"], _feed(batch(size)))[0]
        np.testing.assert_array_equal(pool(*batch(size))["emotion"], expected)
    assert pool.sessions == len(counted.opened) == 3
    # 8 takes the session of 2, whose turn was longest ago; and 2 then that of 8.
    assert counted.runs == [(0, 1), (1, 2), (2, 4), (0, 1), (1, 8), (0, 1), (2, 4), (1, 2)]


def test_sixteen_sessions_are_kept_at_most(fake_cuda: FakeCuda, tiny_bundle: Path) -> None:
    session = open_session(read_bundle(tiny_bundle), device="cuda", streams=3)
    for size in GPU_SHAPES.batches * 2:
        session.run(*batch(size))
    assert len(fake_cuda.asked) == 16


def test_where_memory_is_short_idle_sessions_are_closed_before_a_batch_is_given_up(
    tiny_bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    counted = Counted(tiny_bundle / "model.onnx")
    pool = counted.pool(streams=1, most=8)
    for size in (1, 2, 4, 8):
        pool(*batch(size))
    assert counted.alive == pool.sessions == 4
    counted.most = 2
    with caplog.at_level(logging.WARNING):
        pool(*batch(64))
    assert counted.alive <= 2
    assert [record.getMessage() for record in caplog.records] == [
        "memory was short: at most 4 sessions are kept from now on"
    ]
    counted.most = 0
    with pytest.raises(RuntimeError, match="Failed to allocate"):
        pool(*batch(64))
    counted.most = 10
    for size in (1, 2, 4, 8, 16, 32, 64):
        assert pool(*batch(size))["emotion"].shape == (size, 3)
    assert counted.alive <= 4


def test_more_callers_than_streams_share_the_first_session(tiny_bundle: Path) -> None:
    pool = Counted(tiny_bundle / "model.onnx").pool(streams=2, most=2)
    inputs = [batch(size, seed=size) for size in (1, 2, 3, 4)]
    expected = [pool(*each) for each in inputs]
    with ThreadPoolExecutor(8) as threads:
        answers = [*threads.map(lambda each: pool(*each), inputs * 16)]
    for answer, said in zip(answers, expected * 16, strict=True):
        np.testing.assert_array_equal(answer["emotion"], said["emotion"])
    assert pool.sessions == 2


def _feed(inputs: tuple[FloatArray, IntArray]) -> dict[str, Any]:
    return {"waveform": inputs[0], "length": inputs[1]}
