"""A limit that was learned from a lack of memory is given up again, step by step."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from emotions.audio.windows import FloatArray, IntArray
from emotions.errors import OutOfMemory
from emotions.runtime.batch_limit import BatchLimit
from emotions.runtime.batch_shape import GPU_SHAPES, Probabilities, ShapedRun

LACKING = RuntimeError("Failed to allocate memory for requested buffer of size 2830172160")


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_it_doubles_after_each_five_quiet_minutes_up_to_what_was_lacking(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    limit = BatchLimit(None, clock)
    with caplog.at_level(logging.WARNING):
        limit.halve(64, 16_000, LACKING)
        limit.halve(32, 16_000, LACKING)
        assert limit.samples() == 16 * 16_000
        clock.now += 299
        assert limit.samples() == 16 * 16_000
        clock.now += 1
        assert limit.samples() == limit.samples() == 32 * 16_000
        clock.now += 300
        assert limit.samples() is None
        clock.now += 3_000
        assert limit.samples() is None
    assert messages(caplog) == [
        "out of memory with a batch of 64 windows of 1.0 s: batches have at most 32.0 s of audio from now on",
        "out of memory with a batch of 32 windows of 1.0 s: batches have at most 16.0 s of audio from now on",
        "memory was enough for 5 minutes: batches have up to 32.0 s of audio again",
        "memory was enough for 5 minutes: batches have up to 64.0 s of audio again",
    ]


def test_minutes_in_which_memory_was_lacking_do_not_count_and_the_first_limit_comes_back() -> None:
    clock = Clock()
    limit = BatchLimit(100, clock)
    limit.halve(8, 10, LACKING)
    clock.now += 200
    limit.halve(8, 10, LACKING)
    clock.now += 200
    assert limit.samples() == 40
    clock.now += 100
    assert limit.samples() == 100


def test_one_window_is_an_error_and_lowers_nothing() -> None:
    limit = BatchLimit()
    with pytest.raises(OutOfMemory, match=r"lacks memory for a window of 3\.0 s"):
        limit.halve(1, 48_000, LACKING)
    assert limit.samples() is None


def test_batches_grow_again_once_another_program_has_ended(caplog: pytest.LogCaptureFixture) -> None:
    clock, sizes, most = Clock(), list[int](), 16

    def run(waveform: FloatArray, length: IntArray) -> Probabilities:
        if len(length) > most:
            raise LACKING
        sizes.append(len(length))
        return {"x": waveform}

    shaped = ShapedRun(run, GPU_SHAPES, limit=BatchLimit(None, clock))
    inputs = np.zeros((64, 100), np.float32), np.full(64, 100, np.int64)
    shaped(*inputs)
    assert sizes == [16] * 4
    clock.now += 300
    shaped(*inputs)  # tries 32 in vain
    assert sizes == [16] * 8
    most = 64
    for minutes in (5, 5):
        clock.now += minutes * 60
        shaped(*inputs)
    assert sizes[8:] == [32, 32, 64]
    assert ["again" in line for line in messages(caplog)] == [False, False, True, False, True, True]
