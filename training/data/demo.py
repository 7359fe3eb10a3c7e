"""A small synthetic corpus of acted emotions, so that everything can be tried without a recording.

An emotion shifts the pitch, its range, the rate, loudness and spectral tilt of a speaker's own voice. The ranges of
emotions overlap, as in real speech.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from emotions.audio.decode import SAMPLE_RATE
from emotions.audio.synthetic_speech import Range, Style, synthetic_speech
from emotions.audio.windows import FloatArray
from emotions.files.atomic import atomic_folder

_SENTENCES = 4
# Relative to the speaker: a factor of F0. Then octaves of its range, tilt, syllables per second and level (RMS).
_EMOTIONS = {
    "angry": (1.35, 0.30, 0.75, 5.4, 0.10),
    "happy": (1.50, 0.40, 1.00, 5.0, 0.08),
    "neutral": (1.00, 0.18, 1.15, 4.5, 0.06),
    "sad": (0.92, 0.10, 1.45, 3.5, 0.04),
}


def make_demo_corpus(folder: Path, seed: int = 0, *, speakers: int = 6, takes: int = 8) -> Path:
    """Write a synthetic corpus: ``<emotion>/<speaker>_<sentence>_<take>.wav``, 16 kHz, 16 bit, 1.2 to 2.5 s each.

    Args:
        folder: where to write; made whole or not at all.
        seed: the same seed gives the same bytes.
        speakers: number of voices, every other one of them high.
        takes: clips of each speaker and emotion.

    Raises:
        OutputExists: there is something at ``folder`` already.
    """
    random = np.random.default_rng(seed)
    with atomic_folder(folder) as temporary:
        for name, waveform in _clips(random, speakers, takes):
            (temporary / name).parent.mkdir(exist_ok=True)
            soundfile.write(temporary / name, waveform, SAMPLE_RATE, subtype="PCM_16")
    return folder


def make_affect_corpus(folder: Path, seed: int = 0, *, speakers: int = 10, takes: int = 30) -> Path:
    """Write a synthetic corpus whose arousal and valence are known functions of pitch, rate and level.

    The recordings are beside ``table.csv`` with the columns ``file``, ``speaker``, ``arousal`` and ``valence``, both 0
    to 1: arousal is the mean of level and rate weighed 3 to 1, valence that of pitch and slowness likewise, each on its
    scale. A louder voice has a flatter spectrum, as in speech (vocal effort); recordings do not tell their gain.

    Args:
        folder: where to write; made whole or not at all.
        seed: the same seed gives the same bytes.
        speakers: number of voices; they differ in timbre alone, so that pitch tells no speaker.
        takes: clips of each speaker.

    Raises:
        OutputExists: there is something at ``folder`` already.
    """
    random = np.random.default_rng(seed)
    with atomic_folder(folder) as temporary:
        lines = ["file,speaker,arousal,valence"]
        for speaker in range(speakers):
            formant, tilt = random.uniform(5, 12), random.uniform(1.5, 1.6)
            for take in range(takes):
                pitch, rate, level = random.uniform(0, 1, 3)
                name = f"{speaker + 1:02d}_{take + 1:02d}.wav"
                samples = int(random.integers(round(1.5 * SAMPLE_RATE), round(2.5 * SAMPLE_RATE)))
                waveform = synthetic_speech(samples, random, _affect(pitch, rate, level, formant, tilt))
                soundfile.write(temporary / name, waveform, SAMPLE_RATE, subtype="PCM_16")
                arousal, valence = (3 * level + rate) / 4, (3 * pitch + 1 - rate) / 4
                lines.append(f"{name},{speaker + 1:02d},{arousal:.4f},{valence:.4f}")
        (temporary / "table.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def _affect(pitch: float, rate: float, level: float, formant: float, tilt: float) -> Style:
    """A style of shares, 0 to 1: 100 to 300 Hz, 3 to 6 syllables a second, an RMS of 0.02 to 0.15, each a factor.

    The tilt is that of the quietest voice.
    """
    hz, syllables, rms = 100 * 3**pitch, 3 * 2**rate, 0.02 * 7.5**level
    return Style(
        pitch=(hz, hz),
        glide=(-0.3, 0.3),
        tilt=_around(tilt - level, 0.02),
        formant=_around(formant, 0.15),
        rate=(syllables, syllables),
        breath=(0.02, 0.15),
        level=(rms, rms),
    )


def _clips(random: np.random.Generator, speakers: int, takes: int) -> Iterator[tuple[str, FloatArray]]:
    samples = random.integers(round(1.2 * SAMPLE_RATE), round(2.5 * SAMPLE_RATE), _SENTENCES)
    for speaker in range(speakers):
        f0 = random.uniform(180, 230) if speaker % 2 else random.uniform(95, 135)
        formant = random.uniform(6, 8)
        for emotion in _EMOTIONS:
            for take in range(takes):
                sentence = take % _SENTENCES
                name = f"{emotion}/{speaker + 1:02d}_s{sentence + 1}_{take // _SENTENCES + 1}.wav"
                yield name, synthetic_speech(int(samples[sentence]), random, _style(emotion, f0, formant))


def _style(emotion: str, f0: float, formant: float) -> Style:
    pitch, glide, tilt, rate, level = _EMOTIONS[emotion]
    return Style(
        pitch=_around(f0 * pitch, 0.15),
        glide=_around(glide, 0.5),
        tilt=_around(tilt, 0.2),
        formant=_around(formant, 0.1),
        rate=_around(rate, 0.2),
        breath=(0.02, 0.1),
        level=_around(level, 0.3),
    )


def _around(value: float, share: float) -> Range:
    return value * (1 - share), value * (1 + share)
