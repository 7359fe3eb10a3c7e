"""Corruptions of a waveform that should not change a prediction, or should cost little accuracy.

The small changes and their limits are those of audEERING's ser-tests; telephone, codecs and resampling are our own.
Each takes and returns (samples,) float32 at 16 kHz.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from emotions.audio.decode import SAMPLE_RATE
from emotions.audio.windows import FloatArray, IntArray
from training.data.waveforms.distortions import (
    coloured_noise,
    filtered,
    quiet,
    ratio,
    recoded,
    resampled,
    tone,
    with_noise,
)

MIN_UNCHANGED = 0.95
MAX_UAR_LOSS = 0.05
MAX_VALUE_CHANGE = 0.05
"""Share of the range by which a value may move and count as unchanged, as with a variant of a bundle."""
MAX_CCC_LOSS = 0.05
Change = Callable[[FloatArray, np.random.Generator], FloatArray]
Kind = Literal["small change", "noise", "channel"]


@dataclass(frozen=True)
class Corruption:
    """One test.

    Attributes:
        kind: a small change must leave 95 % of the predictions unchanged; noise and channels may cost 0.05 of UAR.
    """

    name: str
    kind: Kind
    change: Change


def judged(test: Corruption, before: IntArray, after: IntArray, uar: Callable[[IntArray], float]) -> dict[str, Any]:
    """A test's result as JSON.

    Args:
        test: what was changed.
        before: (clips,) class indices of the answers without the change.
        after: with it.
        uar: UAR of answers.
    """
    unchanged, found = float((after == before).mean()), uar(after)
    loss = uar(before) - found
    passed = unchanged >= MIN_UNCHANGED if test.kind == "small change" else loss <= MAX_UAR_LOSS
    result = {"unchanged": unchanged, "uar": found, "uar_loss": loss, "passed": passed}
    return {"name": test.name, "kind": test.kind, **result}


def judged_values(
    test: Corruption, before: FloatArray, after: FloatArray, span: float, ccc: Callable[[FloatArray], float]
) -> dict[str, Any]:
    """A test's result of a target of dimensions as JSON.

    Args:
        test: what was changed.
        before: (clips, dimensions) values without the change.
        after: with it.
        span: highest less lowest value of the range.
        ccc: mean CCC of answers over the dimensions.
    """
    moved = np.abs(after - before) / span
    unchanged, found = float((moved <= MAX_VALUE_CHANGE).mean()), ccc(after)
    loss = ccc(before) - found
    passed = unchanged >= MIN_UNCHANGED if test.kind == "small change" else loss <= MAX_CCC_LOSS
    result = {"unchanged": unchanged, "moved": float(moved.mean()), "ccc": found, "ccc_loss": loss, "passed": passed}
    return {"name": test.name, "kind": test.kind, **result}


def corruptions(voices: Sequence[FloatArray]) -> list[Corruption]:
    """All tests; babble noise is mixed from the waveforms ``voices``."""
    small: dict[str, Change] = {
        "append zeros": lambda wave, random: np.pad(wave, (0, _some(random))),
        "prepend zeros": lambda wave, random: np.pad(wave, (_some(random), 0)),
        "gain +2 dB": lambda wave, _: np.clip(wave * ratio(2), -1, 1),
        "gain -2 dB": lambda wave, _: wave * ratio(-2),
        "16 bits at -20 dB": lambda wave, _: quiet(wave, -20),
        "16 bits at -30 dB": lambda wave, _: quiet(wave, -30),
        "16 bits at -40 dB": lambda wave, _: quiet(wave, -40),
        "crop the beginning": lambda wave, random: wave[min(_some(random), len(wave) // 4) :],
        "crop the end": lambda wave, random: wave[: -min(_some(random), len(wave) // 4)],
        "clip 0.1 % of the samples": _clip,
        "fade in": lambda wave, _: _fade(wave),
        "fade out": lambda wave, _: _fade(wave[::-1])[::-1],
        "high-pass 50 Hz": lambda wave, _: filtered(wave, 50, "highpass"),
        "low-pass 7.5 kHz": lambda wave, _: filtered(wave, 7_500, "lowpass"),
        "tone of 1 kHz, 40 dB below": lambda wave, _: with_noise(wave, tone(len(wave), 1_000), 40),
        "white noise, 40 dB below": lambda wave, random: with_noise(wave, random.standard_normal(len(wave)), 40),
        "polarity": lambda wave, _: -wave,
        "44.1 kHz and back": lambda wave, _: resampled(wave, 44_100),
    }
    noise: dict[str, Change] = {
        "white noise, 20 dB below": lambda wave, random: with_noise(wave, random.standard_normal(len(wave)), 20),
        "pink noise, 20 dB below": lambda wave, random: with_noise(wave, coloured_noise(len(wave), 0.5, random), 20),
        "mains hum, 20 dB below": lambda wave, _: with_noise(wave, tone(len(wave), 50) + tone(len(wave), 150) / 2, 20),
        "babble, 20 dB below": lambda wave, random: with_noise(wave, _babble(len(wave), voices, random), 20),
    }
    channel: dict[str, Change] = {
        "telephone band": lambda wave, _: filtered(filtered(wave, 300, "highpass"), 3_400, "lowpass"),
        "8 kHz and back": lambda wave, _: resampled(wave, 8_000),
        "G.711 (mu-law, 8 kHz)": lambda wave, _: recoded(wave, "wav", "pcm_mulaw", 8_000),
        "MP3, 32 kbit/s": lambda wave, _: recoded(wave, "mp3", "libmp3lame", 16_000, 32_000),
        "Opus, 16 kbit/s": lambda wave, _: recoded(wave, "ogg", "libopus", 16_000, 16_000),
        "AAC, 32 kbit/s": lambda wave, _: recoded(wave, "adts", "aac", 16_000, 32_000),
    }
    kinds: dict[Kind, dict[str, Change]] = {"small change": small, "noise": noise, "channel": channel}
    return [Corruption(name, kind, change) for kind, each in kinds.items() for name, change in each.items()]


def _some(random: np.random.Generator) -> int:
    return int(random.integers(100, 1001))


def _clip(wave: FloatArray, _: np.random.Generator) -> FloatArray:
    limit = float(np.quantile(np.abs(wave), 0.999))
    clipped: FloatArray = np.clip(wave, -limit, limit)
    return clipped


def _fade(wave: FloatArray) -> FloatArray:
    count = min(SAMPLE_RATE // 20, len(wave) // 4)
    faded = wave.copy()
    faded[:count] *= np.linspace(0, 1, count, dtype=np.float32)
    return faded


def _babble(samples: int, voices: Sequence[FloatArray], random: np.random.Generator) -> Any:
    """Sum of seven voices."""
    chosen = random.choice(len(voices), min(7, len(voices)), replace=False)
    return sum(np.resize(voices[index], samples) / (np.std(voices[index]) + 1e-9) for index in chosen)
