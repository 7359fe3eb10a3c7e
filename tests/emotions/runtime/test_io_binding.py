from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emotions.audio.windows import FloatArray, IntArray
from emotions.bundle.manifest import read_bundle
from emotions.errors import DeviceError
from emotions.runtime.failures import ORT_ERRORS
from emotions.runtime.io_binding import Buffers, IOBindingPool
from emotions.runtime.session import onnx_session, open_session
from tests.conftest import TINY_TARGETS, TINY_WINDOW


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
    assert sessions == opened


def test_no_memory_for_a_further_session_is_no_failure(tiny_bundle: Path) -> None:
    def another() -> Any:
        raise DeviceError("the GPU cannot be used: its memory is too small for the model")

    widths = {target: len(labels) for target, labels in TINY_TARGETS.items()}
    first = onnx_session(tiny_bundle / "model.onnx", threads=1)
    pool = IOBindingPool(first, Buffers(widths, "cpu"), another, streams=2, most_sessions=6)
    assert pool(*batch(8))["emotion"].shape == (8, 3)
    assert pool.sessions == 1
