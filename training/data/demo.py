"""Demo: a small synthetic corpus of acted emotions, so that everything can be tried without a recording.

A source-filter voice: a glottal pulse train with an F0 contour and aspiration noise, through formant resonators that
follow a sequence of vowels. An emotion shifts pitch, its range, rate, loudness and spectral tilt relative to the
speaker's own voice, and takes overlap, as in real speech.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import soundfile
from scipy.signal import lfilter, sosfilt

from emotions.audio.decode import SAMPLE_RATE
from emotions.files import atomic_folder

Array = npt.NDArray[np.float64]

_FRAME = 160
_VOWELS = np.array(
    [
        [800, 1200, 2500, 3500],
        [400, 2000, 2600, 3500],
        [300, 2300, 3000, 3600],
        [500, 900, 2400, 3400],
        [350, 800, 2300, 3400],
        [500, 1500, 2500, 3500],
    ],
    np.float64,
)
"""Formants in Hz of a, e, i, o, u and schwa for a male vocal tract, (vowels, formants)."""
_BANDWIDTHS = np.array([80.0, 100.0, 140.0, 200.0])


@dataclass(frozen=True)
class _Style:
    """How an emotion speaks, relative to the speaker's neutral voice.

    Attributes:
        pitch: factor of the mean F0.
        range: spread of F0 in semitones.
        rate: syllables per second.
        gain: loudness in dB.
        tilt: pole of the source's low pass, smaller is brighter and tenser.
        breath: aspiration noise relative to the pulses.
        jitter: F0's random deviation from period to period.
        fall: semitones that F0 falls over the sentence; negative rises.
    """

    pitch: float
    range: float
    rate: float
    gain: float
    tilt: float
    breath: float
    jitter: float
    fall: float


_STYLES = {
    "angry": _Style(1.35, 3.5, 5.6, 7.0, 0.70, 0.03, 0.030, 2.0),
    "happy": _Style(1.55, 5.5, 5.2, 3.5, 0.86, 0.04, 0.008, -1.5),
    "neutral": _Style(1.00, 2.0, 4.6, 0.0, 0.92, 0.04, 0.006, 3.0),
    "sad": _Style(0.90, 1.0, 3.4, -6.0, 0.970, 0.14, 0.010, 4.0),
}


@dataclass(frozen=True)
class _Voice:
    """A speaker: mean F0 in Hz, vocal tract factor on the formants, and how strongly emotions show."""

    f0: float
    tract: float
    expressive: float


def make_demo_corpus(folder: Path, seed: int = 0, *, speakers: int = 6, takes: int = 8) -> Path:
    """Write a synthetic corpus: ``<emotion>/<speaker>_<sentence>_<take>.wav``, 16 kHz, 16 bit, 1.2 to 2.5 s each.

    Args:
        folder: where to write; made whole or not at all.
        seed: the same seed gives the same bytes.
        speakers: voices, half of them with a shorter vocal tract and a higher pitch.
        takes: clips of each speaker and emotion.

    Returns:
        ``folder``.

    Raises:
        OutputExists: there is something at ``folder`` already.
    """
    random = np.random.default_rng(seed)
    with atomic_folder(folder) as temporary:
        for name, emotion, waveform in _clips(random, speakers, takes):
            (temporary / emotion).mkdir(exist_ok=True)
            soundfile.write(temporary / emotion / name, waveform, SAMPLE_RATE, subtype="PCM_16")
    return folder


def _clips(random: np.random.Generator, speakers: int, takes: int) -> Iterator[tuple[str, str, Array]]:
    sentences = [random.integers(0, len(_VOWELS), random.integers(6, 10)) for _ in range(4)]
    for speaker in range(speakers):
        voice = _voice(random, high=speaker % 2 == 1)
        for emotion, style in _STYLES.items():
            for take in range(takes):
                number = take % len(sentences)
                name = f"{speaker + 1:02d}_s{number + 1}_{take // len(sentences) + 1}.wav"
                yield name, emotion, _speak(random, voice, style, sentences[number])


def _voice(random: np.random.Generator, high: bool) -> _Voice:
    f0, tract = (random.uniform(180, 230), 1.17) if high else (random.uniform(95, 135), 1.0)
    return _Voice(f0, tract * random.uniform(0.96, 1.04), random.uniform(0.8, 1.2))


def _speak(random: np.random.Generator, voice: _Voice, style: _Style, vowels: npt.NDArray[Any]) -> Array:
    """One clip, (samples,) in -1 to 1."""
    shown = _perform(random, style, voice.expressive)
    seconds = float(np.clip(len(vowels) / shown.rate, 1.2, 2.5))
    samples = round(seconds * SAMPLE_RATE / _FRAME) * _FRAME
    place = np.linspace(0, len(vowels), samples, endpoint=False)
    f0 = _pitch(random, voice, shown, place)
    source = _source(random, f0, shown)
    speech = _vocal_tract(source, _formants(voice, vowels, samples // _FRAME))
    loudness = _envelope(random, place, len(vowels)) * 10 ** ((shown.gain + random.normal(0, 2.0)) / 20)
    speech = 0.09 * speech / np.sqrt(np.square(speech).mean()) * loudness
    return cast(Array, np.clip(speech + random.normal(0, 0.0015, samples), -0.98, 0.98))


def _perform(random: np.random.Generator, style: _Style, expressive: float) -> _Style:
    """A style as one speaker shows it in one take: between neutral and full, never twice the same."""
    neutral, strength = _STYLES["neutral"], expressive * random.uniform(0.75, 1.25)
    shown = {
        key: getattr(neutral, key) + strength * (getattr(style, key) - getattr(neutral, key))
        for key in _Style.__dataclass_fields__
    }
    shown["pitch"] *= random.normal(1, 0.05)
    shown["rate"] *= random.normal(1, 0.07)
    shown["tilt"] = min(shown["tilt"] + random.normal(0, 0.012), 0.985)
    return _Style(**shown)


def _pitch(random: np.random.Generator, voice: _Voice, style: _Style, place: Array) -> Array:
    """F0 in Hz for every sample: a slope over the sentence and an accent on every syllable."""
    count = round(place[-1]) + 2
    accents = random.normal(0, max(style.range, 0.3), count)
    semitones = np.interp(place, np.arange(count), accents) - style.fall * (place / place[-1] - 0.5)
    return cast(Array, voice.f0 * style.pitch * np.exp2(semitones / 12))


def _source(random: np.random.Generator, f0: Array, style: _Style) -> Array:
    """Glottal pulses at F0, each a little early or late, with breath; low-passed by the tilt."""
    uneven = np.repeat(random.normal(0, abs(style.jitter), len(f0) // 40 + 1), 40)[: len(f0)]
    steps = f0 / SAMPLE_RATE * (1 + uneven)
    pulses = np.diff(np.floor(np.cumsum(steps)), prepend=0.0)
    voiced = lfilter([1 - style.tilt], [1, -style.tilt], pulses) * 10
    breath = random.normal(0, max(style.breath, 0.01), len(f0))
    return np.asarray(lfilter([1, -0.97], [1], voiced + 0.4 * breath), np.float64)


def _formants(voice: _Voice, vowels: npt.NDArray[Any], frames: int) -> Array:
    """Formants in Hz, (frames, formants), gliding from vowel to vowel."""
    place = np.linspace(-0.5, len(vowels) - 0.5, frames)
    targets = _VOWELS[vowels] * voice.tract
    return np.stack([np.interp(place, np.arange(len(vowels)), column) for column in targets.T], axis=1)


def _vocal_tract(source: Array, formants: Array) -> Array:
    """Filter a source (samples,) by one resonator a formant, set anew every 10 ms."""
    radius = np.exp(-np.pi * _BANDWIDTHS / SAMPLE_RATE)
    middle = -2 * radius * np.cos(2 * np.pi * formants / SAMPLE_RATE)
    ones, zeros = np.ones_like(middle), np.zeros_like(middle)
    sections = np.stack([1 + middle + radius**2, zeros, zeros, ones, middle, zeros + radius**2], axis=2)
    state = np.zeros((len(_BANDWIDTHS), 2))
    spoken = np.empty_like(source)
    for frame, section in enumerate(sections):
        part = slice(frame * _FRAME, (frame + 1) * _FRAME)
        spoken[part], state = sosfilt(section, source[part], zi=state)
    return spoken


def _envelope(random: np.random.Generator, place: Array, syllables: int) -> Array:
    """Loudness of every sample: a hump a syllable, each with its own stress, and soft ends."""
    stress = np.interp(place, np.arange(syllables + 1), random.uniform(0.6, 1.2, syllables + 1))
    humps = 0.25 + 0.75 * np.square(np.sin(np.pi * place))
    return cast(Array, stress * humps * np.minimum(1, 4 * np.minimum(place, syllables - place)))
