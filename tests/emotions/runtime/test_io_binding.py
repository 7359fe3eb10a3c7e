from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from emotions.audio.windows import FloatArray, IntArray
from emotions.bundle.manifest import read_bundle
from emotions.runtime.io_binding import MOST_BOUND, IOBindingPool, is_bound
from emotions.runtime.session import onnx_session, open_session
from tests.conftest import TINY_TARGETS, TINY_WINDOW


@pytest.fixture
def bound(tiny_bundle: Path) -> IOBindingPool:
    widths = {target: len(labels) for target, labels in TINY_TARGETS.items()}
    return IOBindingPool(onnx_session(tiny_bundle / "model.onnx", threads=1), TINY_WINDOW, widths, "cpu")


def batch(windows: int, seed: int = 0) -> tuple[FloatArray, IntArray]:
    random = np.random.default_rng(seed)
    waveform = random.normal(0, 0.1, (windows, TINY_WINDOW)).astype(np.float32)
    return waveform, random.integers(400, TINY_WINDOW, windows)


def test_answers_are_those_of_a_plain_run_to_the_bit(bound: IOBindingPool, tiny_bundle: Path) -> None:
    plain = open_session(read_bundle(tiny_bundle), device="cpu", threads=1).run
    for windows in (1, 2, 3, 8, MOST_BOUND, MOST_BOUND + 1, 1):
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
    with pytest.raises(RuntimeError, match="size"):
        bound(np.zeros((1, TINY_WINDOW + 1), np.float32), np.array([5]))


def test_only_few_sizes_have_buffers() -> None:
    assert [size for size in range(1, 200) if is_bound(size)] == [1, 2, 4, 8, 16, 32, 64]
