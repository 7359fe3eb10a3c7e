"""A stream is resampled the same in whatever blocks it comes."""

from __future__ import annotations

import numpy as np
import pytest

from emotions.audio.decode import SAMPLE_RATE, to_model_rate
from emotions.audio.resampler import Resampler


@pytest.mark.parametrize("rate", [8_000, 16_000, 11_025, 44_100, 48_000, 96_000])
def test_blocks_make_no_difference(rate: int) -> None:
    random = np.random.default_rng(rate)
    waveform = random.uniform(-1, 1, rate).astype(np.float32)
    edges = np.sort(random.integers(0, rate, 40))
    resampler = Resampler(rate, SAMPLE_RATE)
    parts = [resampler.push(part) for part in np.split(waveform, edges)]
    np.testing.assert_array_equal(np.concatenate([*parts, resampler.finish()]), to_model_rate(waveform, rate))
