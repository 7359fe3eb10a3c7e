"""Synthetic speech: seeded voice-like signals for probes, benchmarks and the demo corpus."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from emotions.audio.decode import SAMPLE_RATE
from emotions.audio.windows import FloatArray

Range = tuple[float, float]


@dataclass(frozen=True)
class Style:
    """Ranges that the properties of one signal are drawn from, each uniformly.

    Attributes:
        pitch: mean F0 in Hz.
        glide: how far F0 rises and falls, in octaves.
        tilt: exponent by which harmonics grow weaker; smaller is brighter.
        formant: number of the harmonic that is strengthened most, with its neighbours.
        rate: syllables per second.
        breath: deviation of the noise, relative to a first harmonic of amplitude 1.
        level: root mean square of the signal; full scale is 1.
    """

    pitch: Range = (90, 300)
    glide: Range = (-0.4, 0.4)
    tilt: Range = (0.6, 1.6)
    formant: Range = (4, 14)
    rate: Range = (2.5, 6)
    breath: Range = (0.02, 0.3)
    level: Range = (0.05, 0.2)


def synthetic_speech(samples: int, random: np.random.Generator, style: Style = Style()) -> FloatArray:
    """Harmonics of a gliding pitch, louder and softer by the syllable, with noise.

    Args:
        samples: how many, at 16 kHz.
        random: generator of every draw: the same state gives the same signal.
        style: ranges that the voice is drawn from.

    Returns:
        (samples,) float32 from -1 to 1, rounded to 16 bits: what most recordings hold, and small when compressed.
    """
    time = np.arange(samples) / SAMPLE_RATE
    pitch = random.uniform(*style.pitch) * np.exp2(
        random.uniform(*style.glide) * np.sin(2 * np.pi * random.uniform(0.3, 2) * time)
    )
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    tilt, formant = random.uniform(*style.tilt), random.uniform(*style.formant)
    strength = [number**-tilt * (1 + 2 * np.exp(-((number - formant) ** 2) / 8)) for number in range(1, 25)]
    tones = sum(gain * np.sin(number * phase) for number, gain in enumerate(strength, start=1))
    syllables = 0.55 + 0.45 * np.sin(2 * np.pi * random.uniform(*style.rate) * time + random.uniform(0, 6))
    signal = tones * syllables + random.normal(0, random.uniform(*style.breath), samples)
    signal *= random.uniform(*style.level) / np.sqrt(np.square(signal).mean())
    return np.asarray(np.round(np.clip(signal, -1, 1) * 32_767) / 32_768, np.float32)
