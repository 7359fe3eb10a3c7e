"""Recordings to measure on: the user's own, or synthetic ones of mixed length."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from emotions.audio.decode import SAMPLE_RATE, ReadOptions, checked
from emotions.audio.decoders.read import read
from emotions.audio.synthetic_speech import synthetic_speech
from emotions.audio.windows import Windows
from emotions.errors import AudioError, ConfigError, DataError
from emotions.inputs.discovery import find_files
from emotions.inputs.input_file import InputFile
from emotions.predictor import Predictor
from emotions.runtime.prediction import Prediction

MAX_SEC = 60.0
"""Longer recordings are left out: a few of them would outweigh all others."""
MIX, SPEECH = "1-5", "speech"
"""Default durations of synthetic recordings, and the mix that is like speech."""
_LEAST_SEC = 0.1
_RANGE = re.compile(r"(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class Clip:
    """A recording with what every layer needs of it: the file's bytes, the model's input, and its prediction alone."""

    file: InputFile
    content: bytes
    windows: Windows
    expected: Prediction


def durations(mix: str, count: int, random: np.random.Generator) -> npt.NDArray[np.float64]:
    """Seconds of ``count`` recordings, (count,).

    Args:
        mix: ``LOW-HIGH``, even between two seconds, or ``speech``: log-normal as utterances are, 0.5 to 20 s.
        count: how many.
        random: what they are drawn with.

    Raises:
        ConfigError: it is neither.
    """
    if mix == SPEECH:
        return np.clip(random.lognormal(np.log(3.0), 0.6, count), 0.5, 20.0)
    found = _RANGE.fullmatch(mix)
    low, high = map(float, found.groups()) if found else (0.0, 0.0)
    if not _LEAST_SEC <= low <= high <= MAX_SEC:
        raise ConfigError(f"durations {mix!r}: write {SPEECH}, or LOW-HIGH in seconds, of {_LEAST_SEC} to {MAX_SEC:g}")
    return random.uniform(low, high, count)


def make_clips(folder: Path, count: int, seed: int, mix: str = MIX) -> None:
    """Write synthetic recordings (WAV, 16 kHz, 16 bits) to a folder; the same for a seed and a mix.

    Args:
        folder: an existing folder.
        count: how many recordings.
        seed: of their durations and sound.
        mix: of durations, as in ``durations``.
    """
    random = np.random.default_rng(seed)
    for index, seconds in enumerate(durations(mix, count, random)):
        voice = synthetic_speech(int(seconds * SAMPLE_RATE), random)
        soundfile.write(folder / f"{index:05}.wav", voice, SAMPLE_RATE, subtype="PCM_16")


def make_broken(folder: Path) -> list[InputFile]:
    """Write files that cannot be classified, of nine kinds, and name them with a tenth that does not exist."""
    folder.mkdir()
    contents = {"empty.wav": b"", "text.wav": b"no audio " * 99, "archive.mp3": b"PK\3\4" + bytes(999)}
    contents |= {"header.flac": b"fLaC", "random.ogg": b"OggS" + bytes(range(256))}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    noise = np.random.default_rng(0).normal(0, 0.1, 32_000)
    soundfile.write(folder / "cut.wav", noise, 16_000)
    (folder / "cut.wav").write_bytes(
        (folder / "cut.wav").read_bytes()[:30]
    )  # within its header: more of it would be used as far as it goes
    soundfile.write(folder / "silent.wav", 0 * noise, 16_000)
    soundfile.write(folder / "short.wav", noise[:99], 16_000)
    soundfile.write(folder / "nan.wav", np.full(9_000, np.nan), 16_000, subtype="FLOAT")
    names = [*contents, "cut.wav", "silent.wav", "short.wav", "nan.wav", "gone.wav"]
    return [InputFile(folder / name, name) for name in names]


def read_clips(predictor: Predictor, folder: Path, limit: int) -> tuple[list[Clip], int]:
    """Read recordings, spread evenly over a folder, and count those left out as unusable or longer than ``MAX_SEC``.

    Args:
        predictor: cuts them into windows, and gives the expected answers.
        folder: is searched for recordings.
        limit: the most recordings to look at.
    """
    files = evenly_spread(find_files([folder]).files, limit)
    clips = [clip for file in files if (clip := _clip(predictor, file)) is not None]
    if not clips:
        raise DataError(f"{folder}: holds no recording of at most {MAX_SEC:g} s to measure on")
    return clips, len(files) - len(clips)


def evenly_spread(files: Sequence[InputFile], limit: int) -> list[InputFile]:
    """At most ``limit`` of the files, evenly spread over them.

    Args:
        files: all of them, in their order.
        limit: the most to choose.
    """
    chosen = np.linspace(0, len(files) - 1, min(limit, len(files))).round().astype(int)
    return [files[index] for index in chosen]


def _clip(predictor: Predictor, file: InputFile) -> Clip | None:
    try:
        content = file.path.read_bytes()
        windows = predictor.split(checked(read(content, ReadOptions(max_sec=MAX_SEC)).waveform))
    except (AudioError, OSError):
        return None
    answer = predictor.session.run(windows.samples, windows.lengths)
    return Clip(file, content, windows, predictor.prediction(windows, answer))
