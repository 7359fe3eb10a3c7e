"""A simple measure of speech: how long a clip is loud and periodic, and how loud it is.

No detector of speech: it takes music for a voice, and misses a whisper. It finds clips of noise, breath and hum among
clips of speech.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from emotions.audio.decode import SAMPLE_RATE
from emotions.audio.windows import FloatArray

_DECIMATION = 4
_RATE = SAMPLE_RATE // _DECIMATION
_FRAME, _HOP = round(0.04 * _RATE), round(0.02 * _RATE)
_LAGS = (round(_RATE / 500), round(_RATE / 60))  # of voices from 60 to 500 Hz
_TRANSFORM = 512
_PERIODIC = 0.6
"""Autocorrelation, of 1, from which a frame counts as periodic."""
_RANGE = 1e-3  # energy of a loud frame to that of the loudest ones: 30 dB
_FLOOR = 1e-6  # energy of a frame that is never loud: -60 dBFS
_BLOCK = 4096  # frames at once, to bound memory


@dataclass(frozen=True)
class SpeechMeasure:
    """How much of a clip may be speech.

    Attributes:
        level_db: level of the loud frames, in dB below full scale (RMS).
        active_sec: seconds that are within 30 dB of the loudest ones.
        voiced_sec: seconds of these that are periodic, as a voice is.
    """

    level_db: float = -120.0
    active_sec: float = 0.0
    voiced_sec: float = 0.0


def measure_speech(waveform: FloatArray) -> SpeechMeasure:
    """Measure a clip.

    Args:
        waveform: (samples,) float32 at 16 kHz.
    """
    blocks = [*_measured_blocks(waveform)]
    energy = np.concatenate([each for each, _ in blocks] or [np.zeros(0, np.float32)])
    periodic = np.concatenate([each for _, each in blocks] or [np.zeros(0, np.float32)])
    loudest = float(np.percentile(energy, 95)) if len(energy) else 0.0
    loud = energy > max(_FLOOR, _RANGE * loudest)
    level = 10 * float(np.log10(energy[loud].mean())) if loud.any() else -120.0
    hop_sec = _HOP / _RATE
    return SpeechMeasure(level, float(loud.sum()) * hop_sec, float((loud & (periodic > _PERIODIC)).sum()) * hop_sec)


def _measured_blocks(waveform: FloatArray) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Energy and periodicity of the frames, (frames,) each, block by block."""
    whole = len(waveform) // _DECIMATION * _DECIMATION
    slow = waveform[:whole].reshape(-1, _DECIMATION).mean(axis=1)
    slow = np.pad(slow, (0, max(0, _FRAME - len(slow))))
    frames = np.lib.stride_tricks.sliding_window_view(slow, _FRAME)[::_HOP]
    for at in range(0, len(frames), _BLOCK):
        block = frames[at : at + _BLOCK]
        yield np.square(block).mean(axis=1), _periodicity(block)


def _periodicity(frames: FloatArray) -> FloatArray:
    """The highest peak of each frame's autocorrelation among the periods of voices, (frames,); 0 where it has none."""
    spectrum = np.fft.rfft(frames - frames.mean(axis=1, keepdims=True), _TRANSFORM, axis=1)
    low, high = _LAGS
    correlation = np.fft.irfft(np.square(np.abs(spectrum)), axis=1)[:, : high + 2]
    shrinking = 1 - np.arange(high + 2) / _FRAME  # fewer samples overlap at longer lags
    correlation = correlation / shrinking / np.maximum(correlation[:, :1], 1e-12)
    inner = correlation[:, low : high + 1]
    peak = (inner > correlation[:, low - 1 : high]) & (inner >= correlation[:, low + 1 : high + 2])
    highest: FloatArray = np.where(peak, inner, 0).max(axis=1)
    return highest
