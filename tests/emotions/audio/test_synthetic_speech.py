from __future__ import annotations

import numpy as np

from emotions.audio.synthetic_speech import Style, synthetic_speech


def test_the_same_seed_gives_the_same_signal_and_another_one_another() -> None:
    one, same, other = (synthetic_speech(8_000, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_signal_is_16_bit_audio_at_the_level_of_its_style() -> None:
    signal = synthetic_speech(16_000, np.random.default_rng(0), Style(level=(0.05, 0.05)))
    assert signal.shape == (16_000,)
    assert signal.dtype == np.float32
    assert np.array_equal(signal * 32_768, np.round(signal * 32_768))
    assert abs(np.sqrt(np.square(signal).mean()) - 0.05) < 0.001


def test_the_pitch_is_that_of_the_style() -> None:
    style = Style(pitch=(200, 200), glide=(0, 0), breath=(0, 0), formant=(4, 4))
    signal = synthetic_speech(16_000, np.random.default_rng(0), style)
    power = np.abs(np.fft.rfft(signal * np.hanning(16_000)))  # bins of 1 Hz
    assert power.argmax() % 200 in (0, 199, 1)
