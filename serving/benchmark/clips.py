"""Recordings to measure on: the user's own, or synthetic ones of mixed length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from emotions import audio
from emotions.errors import AudioError, DataError
from emotions.folder import InputFile, find_files
from emotions.predictor import Prediction, Predictor
from emotions.windows import FloatArray, Windows

MAX_SEC = 60.0
"""Longer recordings are left out: a few of them would outweigh all others."""
_SHORTEST_SEC, _LONGEST_SEC = 1.0, 5.0


@dataclass(frozen=True)
class Clip:
    """A recording with what every layer needs of it.

    Attributes:
        file: where it lies.
        content: the file's bytes, as they are uploaded.
        windows: what the model is fed.
        expected: what the model says of it alone.
    """

    file: InputFile
    content: bytes
    windows: Windows
    expected: Prediction


def make_clips(folder: Path, count: int, seed: int) -> None:
    """Write ``count`` synthetic recordings (WAV, 16 kHz, 16 bits) of 1 to 5 s to a folder; the same for a seed."""
    random = np.random.default_rng(seed)
    for index, seconds in enumerate(random.uniform(_SHORTEST_SEC, _LONGEST_SEC, count)):
        soundfile.write(folder / f"{index:05}.wav", _voice(random, seconds), audio.SAMPLE_RATE, subtype="PCM_16")


def _voice(random: np.random.Generator, seconds: float) -> FloatArray:
    """Harmonics of a gliding pitch under a syllables' envelope, with a little noise: (samples,) float32."""
    time = np.arange(int(seconds * audio.SAMPLE_RATE)) / audio.SAMPLE_RATE
    pitch = random.uniform(90, 250) * (1 + 0.1 * np.sin(2 * np.pi * random.uniform(0.3, 1) * time))
    phase = 2 * np.pi * np.cumsum(pitch) / audio.SAMPLE_RATE
    voice = sum(np.sin(harmonic * phase) / harmonic for harmonic in range(1, 16))
    envelope = 0.55 + 0.45 * np.sin(2 * np.pi * random.uniform(3, 5) * time)
    return np.asarray(0.2 * voice * envelope + random.normal(0, 0.003, len(time)), np.float32)


def read_clips(predictor: Predictor, folder: Path, limit: int) -> tuple[list[Clip], int]:
    """Read at most ``limit`` recordings, spread evenly over a folder.

    Returns:
        The clips, and how many of those looked at were left out as unusable or longer than ``MAX_SEC``.

    Raises:
        DataError: there is none to measure on.
    """
    files = _spread(find_files([folder]).files, limit)
    clips = [clip for file in files if (clip := _clip(predictor, file)) is not None]
    if not clips:
        raise DataError(f"{folder}: holds no recording of at most {MAX_SEC:g} s to measure on")
    return clips, len(files) - len(clips)


def _spread(files: Sequence[InputFile], limit: int) -> list[InputFile]:
    chosen = np.linspace(0, len(files) - 1, min(limit, len(files))).round().astype(int)
    return [files[index] for index in chosen]


def _clip(predictor: Predictor, file: InputFile) -> Clip | None:
    try:
        content = file.path.read_bytes()
        windows = predictor.split(audio.decode(content, max_sec=MAX_SEC))
    except (AudioError, OSError):
        return None
    answer = predictor.session.run(windows.samples, windows.lengths)
    return Clip(file, content, windows, predictor.prediction(windows, answer))
