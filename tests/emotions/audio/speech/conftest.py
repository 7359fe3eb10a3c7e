"""Recordings with speech in them: real clips between other sounds."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from emotions.audio.decode import SAMPLE_RATE, decode
from emotions.audio.windows import FloatArray


@pytest.fixture(scope="session")
def clips() -> list[FloatArray]:
    """As ``real_clips``."""
    return real_clips()


def real_clips() -> list[FloatArray]:
    """A few real recordings of speech, 16 kHz."""
    folder = os.environ.get("EMOTIONS_TEST_DATA")
    if not folder:
        pytest.skip("EMOTIONS_TEST_DATA names no recordings")
    found = sorted(Path(folder).rglob("*.wav"))
    return [decode(path) for path in found[:: max(1, len(found) // 6)]][:6]


@pytest.fixture(scope="session")
def talk(clips: list[FloatArray]) -> FloatArray:
    """As ``between_silences``."""
    return between_silences(clips)


def between_silences(clips: list[FloatArray]) -> FloatArray:
    """Speech between silences of a second."""
    pause = np.zeros(SAMPLE_RATE, np.float32)
    return np.concatenate([pause, *(part for clip in clips for part in (clip, pause))])


def sounds_without_speech() -> dict[str, FloatArray]:
    """Tones, noise and a melody of 6 s each."""
    time = np.arange(6 * SAMPLE_RATE) / SAMPLE_RATE
    noise = np.random.default_rng(0).standard_normal(len(time))
    notes = 220 * 2 ** (np.random.default_rng(1).integers(0, 24, 15) / 12)
    phase = 2 * np.pi * np.cumsum(np.repeat(notes, len(time) // 15)) / SAMPLE_RATE
    melody = sum(np.sin(number * phase) / number for number in range(1, 7)) * np.exp(-4 * (time % 0.4))
    found = {
        "tone": np.sin(2 * np.pi * 440 * time),
        "dial tone": np.sin(2 * np.pi * 350 * time) + np.sin(2 * np.pi * 440 * time),
        "busy": np.sin(2 * np.pi * 480 * time) * (time % 1 < 0.5),
        "noise": 0.3 * noise,
        "beats of noise": 0.3 * noise * (1 + np.sin(8 * np.pi * time)) / 2,
        "melody": melody,
    }
    return {name: (0.3 * samples).astype(np.float32) for name, samples in found.items()}
