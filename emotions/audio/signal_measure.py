"""What a recording sounds like to a meter: its level, its signal-to-noise ratio and the band that it fills."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from emotions.audio.decode import SAMPLE_RATE
from emotions.audio.windows import Float64Array, FloatArray

_FRAME = SAMPLE_RATE // 50
"""Samples of a frame of 20 ms, whose energy is that of speech or of a pause."""
_SPECTRUM = 256
_MAX_SPECTRA = 32
"""Spectra of a recording, evenly spaced: their mean needs no more, and their cost must not grow with its length."""
_TAPER = np.hanning(_SPECTRUM).astype(np.float32)
_OFFSETS = np.arange(_SPECTRUM)
_FLOOR = 1e-10  # mean square: -100 dBFS, below the noise of 16 bits
_LOUD, _QUIET = 0.95, 0.1  # of the frames
_ROLL_OFF = 0.99


_SPECTRUM_EVERY = 4 * _FRAME
"""Samples from one spectrum to the next of audio that comes in parts."""


@dataclass(frozen=True)
class Signal:
    """Figures of a recording.

    Attributes:
        level_dbfs: mean power in dB below full scale, where a sine of full amplitude is at -3.01 dBFS.
        snr_db: loud frames (the 95th percentile of frame energy) above quiet ones (the 10th), in dB, as NIST's STNR
            estimates the signal-to-noise ratio of speech with pauses; with no pause in it, it is too low. NaN where it
            is not measured.
        bandwidth_hz: frequency below which 99 % of the power lies, the spectral roll-off.
    """

    level_dbfs: float
    snr_db: float
    bandwidth_hz: float


def measure_signal(waveform: FloatArray) -> Signal:
    """Measure a recording. What it takes hardly grows with the recording: 0.2 ms for a few seconds.

    Args:
        waveform: (samples,) float32 at 16 kHz.
    """
    energies = _frame_energies(waveform)
    at = [int(share * (len(energies) - 1)) for share in (_QUIET, _LOUD)]
    quiet, loud = np.partition(energies, at)[at].tolist()
    return Signal(_decibels(float(energies.mean())), _decibels(loud) - _decibels(quiet), _bandwidth(waveform))


def _frame_energies(waveform: FloatArray) -> Float64Array:
    """Mean square of each whole frame, (frames,); of a waveform shorter than one, its own."""
    whole = len(waveform) // _FRAME * _FRAME
    frames = waveform[:whole].reshape(-1, _FRAME) if whole else waveform.reshape(1, -1)
    energies: Float64Array = (np.einsum("fs,fs->f", frames, frames) / frames.shape[1]).astype(np.float64)
    return energies


def _bandwidth(waveform: FloatArray) -> float:
    padded = waveform if len(waveform) >= _SPECTRUM else np.pad(waveform, (0, _SPECTRUM - len(waveform)))
    count = min(_MAX_SPECTRA, len(padded) // _SPECTRUM)
    starts = np.linspace(0, len(padded) - _SPECTRUM, count).astype(np.int64)
    return _roll_off(_power(padded[starts[:, None] + _OFFSETS]))


def _power(pieces: FloatArray) -> Float64Array:
    """The sum of power spectra, (bins,), of pieces (pieces, ``_SPECTRUM``)."""
    spectra = np.fft.rfft(pieces * _TAPER, axis=1)
    power: Float64Array = (np.square(spectra.real) + np.square(spectra.imag)).sum(axis=0, dtype=np.float64)
    return power


def _roll_off(power: Float64Array) -> float:
    below = power.cumsum()
    return int(np.searchsorted(below, _ROLL_OFF * below[-1])) * SAMPLE_RATE / _SPECTRUM


def _decibels(power: float) -> float:
    return 10 * math.log10(max(power, _FLOOR))


class SignalMeter:
    """Measures speech that comes in parts and is not kept: its level and its bandwidth.

    Its signal-to-noise ratio is not: speech without the pauses around it hardly has quiet frames.
    """

    def __init__(self) -> None:
        self._samples, self._energy = 0, 0.0
        self._rest = np.zeros(0, np.float32)
        self._spectrum = np.zeros(_SPECTRUM // 2 + 1)

    def push(self, samples: FloatArray) -> None:
        """Take the next samples, (samples,) float32 at 16 kHz."""
        self._samples += len(samples)
        self._energy += float(np.vdot(samples, samples))
        joined = np.concatenate([self._rest, samples])
        whole = len(joined) // _SPECTRUM_EVERY * _SPECTRUM_EVERY
        if whole:
            self._spectrum += _power(joined[:whole].reshape(-1, _SPECTRUM_EVERY)[:, :_SPECTRUM])
        self._rest = joined[whole:].copy()

    def signal(self) -> Signal:
        """The figures of all that came; at least 80 ms of it."""
        return Signal(_decibels(self._energy / max(1, self._samples)), math.nan, _roll_off(self._spectrum))
