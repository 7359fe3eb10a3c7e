"""Altered copies of recordings, for training: as they sound through noise, telephones, codecs, rooms, at low levels,
faster or slower, or by a higher or lower voice.

A copy depends on the recording's samples, its number and the changes alone, so that what is computed from it is kept in
the caches as that of a recording is, and folds and searches share it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import av
import numpy as np
import scipy
import soxr

from emotions.audio.windows import FloatArray
from emotions.errors import AudioError
from training.config.learning import CopyChange
from training.data.waveforms.clip_info import ClipInfo
from training.data.waveforms.distortions import (
    coloured_noise,
    faster,
    filtered,
    in_a_room,
    quiet,
    recoded,
    resampled,
    shifted_in_pitch,
    tone,
    with_noise,
)

_MOST = 2  # changes of a copy
_FORMAT = f"1 {np.__version__} {scipy.__version__} {soxr.__version__} {av.__version__}"
_SNR_DB = (12.0, 40.0)
_VOICES = 5
_LOW_PASS_HZ, _HIGH_PASS_HZ = (3_000.0, 7_800.0), (40.0, 400.0)
_FILTERED = 0.7  # share of the copies of a band that each filter is applied to
_REVERBERATION_SEC, _DIRECT_DB = (0.1, 0.5), (3.0, 15.0)
_LEVEL_DB = (-40.0, 0.0)
_SPEED = (0.9, 1.1)
_SEMITONES = (-2.0, 2.0)
_BIT_RATES: Mapping[str, tuple[str, str, tuple[int, int]]] = {
    "MP3": ("mp3", "libmp3lame", (24_000, 64_000)),
    "Opus": ("ogg", "libopus", (10_000, 32_000)),
    "AAC": ("adts", "aac", (20_000, 48_000)),
}
_CODECS = (*_BIT_RATES, "mu-law", "8 kHz")


@dataclass(frozen=True)
class AlteredInfo(ClipInfo):
    """Properties of a copy, those of its recording; ``sha256`` stands for samples that are made when they are read.

    Attributes:
        original: properties of the recording.
        number: which of its copies.
        changes: what is drawn from.
    """

    original: ClipInfo = field(default_factory=ClipInfo)
    number: int = 0
    changes: tuple[CopyChange, ...] = ()


def copy_of(facts: ClipInfo, number: int, changes: Sequence[CopyChange]) -> AlteredInfo:
    """Properties of a copy. Args as the attributes of ``AlteredInfo``."""
    drawn = tuple(sorted(set(changes)))
    key = hashlib.sha256(json.dumps([_FORMAT, facts.sha256, number, drawn]).encode()).hexdigest()
    return AlteredInfo(**{**vars(facts), "sha256": key}, original=facts, number=number, changes=drawn)


def altered(waveform: FloatArray, facts: AlteredInfo) -> FloatArray:
    """The samples of a copy, as many as the recording's.

    Args:
        waveform: (samples,) float32 at 16 kHz, the recording.
        facts: of the copy.
    """
    random = np.random.default_rng([facts.number, int(facts.original.sha256[:16], 16)])
    count = int(random.integers(1, min(_MOST, len(facts.changes)) + 1))
    wave = np.array(waveform, np.float32)
    for name in random.choice(facts.changes, count, replace=False):
        changed = _CHANGES[str(name)](wave, random)[: len(wave)]
        wave = np.pad(changed, (0, len(wave) - len(changed))).astype(np.float32)
    return np.ascontiguousarray(wave)


def _between(limits: Sequence[float], random: np.random.Generator) -> float:
    low, high = limits
    return float(random.uniform(low, high))


def _noise(wave: FloatArray, random: np.random.Generator) -> FloatArray:
    kinds: tuple[Callable[[], Any], ...] = (
        lambda: coloured_noise(len(wave), random.uniform(0, 1), random),
        lambda: _hum(len(wave), random),
        lambda: _babble(wave, random),
    )
    noise, snr = kinds[int(random.integers(len(kinds)))](), _between(_SNR_DB, random)
    return with_noise(wave, noise, snr)


def _hum(samples: int, random: np.random.Generator) -> Any:
    """Mains hum: a tone of 45 to 65 Hz and some of its harmonics."""
    hz = random.uniform(45, 65)
    return sum(random.uniform(0.2, 1) * np.roll(tone(samples, hz * times), 37 * times) for times in (1, 2, 3, 5))


def _babble(wave: FloatArray, random: np.random.Generator) -> Any:
    """Several voices at once, made of the recording's own: reversed, from other places, faster and slower.

    Those of other recordings would make the copy depend on them, and bring test speakers into training.
    """
    voices = np.zeros(len(wave))
    for _ in range(_VOICES):
        places = (np.arange(len(wave)) * random.uniform(0.8, 1.25)).astype(np.int64) % len(wave)
        voices += np.roll(wave[::-1][places], int(random.integers(len(wave))))
    return voices


def _band(wave: FloatArray, random: np.random.Generator) -> FloatArray:
    if random.random() < _FILTERED:
        wave = filtered(wave, _between(_LOW_PASS_HZ, random), "lowpass")
    if random.random() < _FILTERED:
        hz = float(np.exp(_between([*np.log(_HIGH_PASS_HZ)], random)))
        wave = filtered(wave, hz, "highpass", int(random.integers(2, 5)))
    return wave


def _codec(wave: FloatArray, random: np.random.Generator) -> FloatArray:
    name = _CODECS[int(random.integers(len(_CODECS)))]
    if name == "8 kHz":
        return resampled(wave, 8_000)
    try:
        if name == "mu-law":
            return recoded(wave, "wav", "pcm_mulaw", 8_000)
        container, codec, limits = _BIT_RATES[name]
        return recoded(wave, container, codec, 16_000, int(random.integers(*limits)))
    except (AudioError, OSError, ValueError):  # an FFmpeg without this codec, or a clip that it makes nothing of
        return resampled(wave, 8_000)


def _room(wave: FloatArray, random: np.random.Generator) -> FloatArray:
    return in_a_room(wave, _between(_REVERBERATION_SEC, random), _between(_DIRECT_DB, random), random)


def _level(wave: FloatArray, random: np.random.Generator) -> FloatArray:
    return quiet(wave, _between(_LEVEL_DB, random))


def _speed(wave: FloatArray, random: np.random.Generator) -> FloatArray:
    return faster(wave, _between(_SPEED, random))


def _pitch(wave: FloatArray, random: np.random.Generator) -> FloatArray:
    return shifted_in_pitch(wave, _between(_SEMITONES, random))


_CHANGES: Mapping[str, Callable[[FloatArray, np.random.Generator], FloatArray]] = {
    "noise": _noise,
    "band": _band,
    "codec": _codec,
    "room": _room,
    "level": _level,
    "speed": _speed,
    "pitch": _pitch,
}
