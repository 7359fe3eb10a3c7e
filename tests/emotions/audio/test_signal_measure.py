"""Level, signal-to-noise ratio and bandwidth of signals that have known ones."""

from __future__ import annotations

import time

import numpy as np
import pytest

from emotions.audio.signal_measure import SignalMeter, measure_signal
from emotions.audio.synthetic_speech import synthetic_speech
from tests.conftest import Tone


def test_a_sine_has_its_level_and_its_frequency(tone: Tone) -> None:
    found = measure_signal(tone(2.0, 1000.0))
    assert found.level_dbfs == pytest.approx(20 * np.log10(0.3) - 3.01, abs=0.01)
    assert found.bandwidth_hz == pytest.approx(1000.0, abs=70)
    assert found.snr_db == pytest.approx(0.0, abs=0.1)


@pytest.mark.parametrize("snr_db", [10.0, 20.0, 30.0])
def test_bursts_in_noise_have_their_ratio(tone: Tone, snr_db: float) -> None:
    bursts = tone(4.0) * (np.arange(64_000) // 8_000 % 2)
    noise = np.random.default_rng(0).standard_normal(64_000) * (0.3 / np.sqrt(2)) * 10 ** (-snr_db / 20)
    found = measure_signal((bursts + noise).astype(np.float32))
    assert found.snr_db == pytest.approx(snr_db, abs=1.5)


def test_twice_as_loud_is_six_decibels_more_and_nothing_else() -> None:
    speech = synthetic_speech(32_000, np.random.default_rng(1)) * np.float32(0.3)
    quiet, loud = measure_signal(speech), measure_signal(2 * speech)
    assert loud.level_dbfs - quiet.level_dbfs == pytest.approx(6.02, abs=0.01)
    assert loud.bandwidth_hz == quiet.bandwidth_hz
    assert loud.snr_db == pytest.approx(quiet.snr_db, abs=1e-3)


@pytest.mark.parametrize("samples", [1, 100, 400, 511, 513])
def test_short_and_silent_ones_have_finite_figures(samples: int) -> None:
    for waveform in (np.zeros(samples, np.float32), np.full(samples, 0.5, np.float32)):
        found = measure_signal(waveform)
        assert np.isfinite([found.level_dbfs, found.snr_db, found.bandwidth_hz]).all()


def test_a_long_one_costs_little_more_than_its_samples() -> None:
    long = np.random.default_rng(0).standard_normal(600 * 16_000).astype(np.float32)
    started = time.process_time()
    measure_signal(long)
    assert time.process_time() - started < 2


def test_in_parts_it_has_the_level_and_nearly_the_bandwidth_of_the_whole() -> None:
    random = np.random.default_rng(2)
    speech = synthetic_speech(48_123, random) * np.float32(0.3)
    whole, figures = measure_signal(speech), set()
    for most in (1, 700, 50_000):
        meter, at = SignalMeter(), 0
        while at < len(speech):
            size = int(random.integers(1, most + 1))
            meter.push(speech[at : at + size])
            at += size
        found = meter.signal()
        assert found.level_dbfs == pytest.approx(whole.level_dbfs, abs=0.05)  # the whole one drops the last frame
        assert found.bandwidth_hz == pytest.approx(whole.bandwidth_hz, rel=0.1)
        assert np.isnan(found.snr_db)
        figures.add(found.bandwidth_hz)
    assert len(figures) == 1


@pytest.mark.parametrize("samples", [0, 1, 2000])
def test_short_and_silent_parts_have_finite_figures(samples: int) -> None:
    meter = SignalMeter()
    meter.push(np.zeros(samples, np.float32))
    assert np.isfinite([meter.signal().level_dbfs, meter.signal().bandwidth_hz]).all()


def test_a_second_in_parts_costs_little_and_nothing_of_it_is_kept() -> None:
    meter, second = SignalMeter(), np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    started = time.process_time()
    for _ in range(600):
        meter.push(second)
    assert time.process_time() - started < 2
    assert sum(each.nbytes for each in vars(meter).values() if isinstance(each, np.ndarray)) < 10_000
