"""How many altered copies of real recordings the audit's search finds, and of excerpts as short as it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from emotions.audio.decode import SAMPLE_RATE
from emotions.audio.decoders.read import read
from emotions.audio.windows import FloatArray
from training.config.dataset import DatasetConfig
from training.data.checks.copies import find_matches
from training.data.checks.fingerprints import fingerprint
from training.data.clips import read_clips
from training.data.waveforms.distortions import filtered, recoded, with_noise

_EXCERPT_SEC = 0.6
_LATE_SEC = 0.037


def compare_altered_copies(data: Path, clips: int) -> Iterator[str]:
    """Lines with how many copies are found, by what was done to them, of whole recordings and of excerpts.

    Args:
        data: a dataset.
        clips: how many of its recordings, evenly chosen.
    """
    table = read_clips(DatasetConfig(path=str(data)), data)
    count = min(clips, len(table))
    whole = [read(table.clips[at * len(table) // count].file).waveform for at in range(count)]
    random = np.random.default_rng(0)
    short = [_excerpt(wave, random) for wave in whole]
    yield f"altered copies found among {2 * count} clips: of whole recordings, of excerpts of {_EXCERPT_SEC} s; others"
    for name, alter in _ALTERED.items():
        (found, wrong), (found_short, wrong_short) = (_found(waves, alter, random) for waves in (whole, short))
        yield f"  {name:44} {found:4d} {found_short:4d} of {count} {wrong + wrong_short:4d}"


def _found(waves: list[FloatArray], alter: Callable[..., FloatArray], random: np.random.Generator) -> tuple[int, int]:
    """How many recordings are matched with their altered copy, and how many with something else."""
    prints = [fingerprint(wave) for wave in [*waves, *(alter(wave, random) for wave in waves)]]
    pairs = {(match.first, match.second) for match in find_matches(prints)}
    own = {(number, number + len(waves)) for number in range(len(waves))}
    return len(pairs & own), len(pairs - own)


def _excerpt(wave: FloatArray, random: np.random.Generator) -> FloatArray:
    samples = round(_EXCERPT_SEC * SAMPLE_RATE)
    start = int(random.integers(0, max(1, len(wave) - samples)))
    return wave[start : start + samples]


def _telephone(wave: FloatArray) -> FloatArray:
    return filtered(filtered(wave, 300, "highpass"), 3_400, "lowpass")


def _noisy(wave: FloatArray, snr_db: float, random: np.random.Generator) -> FloatArray:
    return with_noise(wave, random.standard_normal(len(wave)), snr_db)


_ALTERED: Mapping[str, Callable[[FloatArray, np.random.Generator], FloatArray]] = {
    "at the telephone's band": lambda wave, _: _telephone(wave),
    f"{1000 * _LATE_SEC:.0f} ms later": lambda wave, _: np.pad(wave, (round(_LATE_SEC * SAMPLE_RATE), 0)),
    "MP3 at 32 kbit/s": lambda wave, _: recoded(wave, "mp3", "libmp3lame", SAMPLE_RATE, 32_000),
    "Opus at 12 kbit/s": lambda wave, _: recoded(wave, "ogg", "libopus", SAMPLE_RATE, 12_000),
    "white noise 20 dB below": lambda wave, random: _noisy(wave, 20, random),
    "white noise 10 dB below": lambda wave, random: _noisy(wave, 10, random),
    "telephone's band, noise 15 dB below, then MP3": lambda wave, random: recoded(
        _noisy(_telephone(wave), 15, random), "mp3", "libmp3lame", SAMPLE_RATE, 32_000
    ),
}
