from __future__ import annotations

import numpy as np

from emotions.audio.windows import FloatArray, IntArray
from emotions.runtime.batch_shape import Probabilities, length_bucketed


def test_dynamic_windows_are_run_in_parts_of_like_length() -> None:
    shapes = []

    def model(waveform: FloatArray, length: IntArray) -> Probabilities:
        shapes.append(waveform.shape)
        assert waveform.flags["C_CONTIGUOUS"]
        return {"x": np.stack([waveform.sum(axis=1), length.astype(np.float32)], axis=1)}

    length = np.array([3, 10, 4, 30, 2], np.int64)
    waveform = np.zeros((5, 40), np.float32)
    for row, samples in enumerate(length):
        waveform[row, :samples] = row + 1
    answers = length_bucketed(model, 20)(waveform, length)
    assert shapes == [(1, 30), (2, 10), (2, 3)]
    np.testing.assert_array_equal(answers["x"][:, 1], length)
    np.testing.assert_array_equal(answers["x"][:, 0], length * np.arange(1, 6))


def test_windows_of_unlike_length_run_apart_where_padding_costs() -> None:
    shapes = []

    def model(waveform: FloatArray, length: IntArray) -> Probabilities:
        shapes.append(waveform.shape)
        return {"x": length[:, None].astype(np.float32)}

    length = np.array([100, 20, 95, 90, 89, 21], np.int64)
    answers = length_bucketed(model, 1000, 0.9)(np.zeros((6, 100), np.float32), length)
    assert shapes == [(3, 100), (1, 89), (2, 21)]
    np.testing.assert_array_equal(answers["x"][:, 0], length)
