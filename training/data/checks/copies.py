"""Copies among clips: pairs whose fingerprints have more in common than chance brings among so many.

Clips with a few equal frames at the same distance in time are compared bit by bit. How few bits may differ depends on
how many clips are compared, and on how much these two tell: the bits of a steady tone repeat each other, and some of
450 million pairs of tones agree by chance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emotions.audio.windows import FloatArray
from training.data.checks.candidates import candidates
from training.data.checks.fingerprints import HOP_SEC, POWERS, Bits
from training.data.checks.frames import Frames

MAX_ERRORS = 0.22
"""Share of different bits up to which two clips are the same recording; strangers differ in half of them."""
MAX_CHANCE = 1e-3
"""Probability that any two unlike clips of a corpus are taken for the same recording."""

_DISPERSION_PAIRS = 1_000
_MAX_DISPERSION = 5.0
_NORMAL_SQUARE = 2.706  # 90 of 100 squares of a standard normal variable lie below


@dataclass(frozen=True)
class Match:
    """Two clips with the same audio.

    Attributes:
        shift: frames by which the second clip is late.
        errors: share of bits that differ.
    """

    first: int
    second: int
    shift: int
    errors: float

    @property
    def shift_sec(self) -> float:
        """Delay of the second clip."""
        return self.shift * HOP_SEC


def find_matches(fingerprints: Sequence[Bits]) -> list[Match]:
    """Find every pair of clips with the same audio.

    Memory grows with the frames of all clips, by 20 bytes each, and with the pairs that are alike, each of which is
    judged by its evidence: of tones, not of speech, many are so by chance.
    """
    frames = Frames(fingerprints)
    found = {}
    for match in _most_alike(frames):
        found[match] = evidence(*_aligned(fingerprints, match.first, match.second, match.shift), match.errors)
    wanted = _wanted(fingerprints, frames, [*found.values()])
    return [match for match, evident in found.items() if evident >= wanted]


def _most_alike(frames: Frames) -> list[Match]:
    """Pairs with few enough errors, each at the shift where it has the fewest."""
    best: dict[tuple[int, int], tuple[float, int]] = {}
    for pairs, errors in map(frames.compared, candidates(frames)):
        few = errors <= MAX_ERRORS
        for (first, second, shift), share in zip(pairs[few].tolist(), errors[few].tolist(), strict=True):
            best[first, second] = min((share, shift), best.get((first, second), (1.0, 0)))
    return [Match(first, second, shift, errors) for (first, second), (errors, shift) in sorted(best.items())]


def _wanted(fingerprints: Sequence[Bits], frames: Frames, found: Sequence[float]) -> float:
    """Evidence that a match takes: unlike clips of the corpus, each compared at each shift, seldom have as much."""
    wanted = math.log(max(1, len(fingerprints) * len(frames)) / MAX_CHANCE)
    if all(evident >= _MAX_DISPERSION * wanted for evident in found):  # as in most corpora: nothing is in doubt
        return wanted
    return wanted * _dispersion(fingerprints, frames)


def _aligned(fingerprints: Sequence[Bits], first: int, second: int, shift: int) -> tuple[Bits, Bits]:
    """The frames that two clips have in common where the second is ``shift`` frames later."""
    one, other = fingerprints[first], fingerprints[second]
    start, stop = max(0, -shift), min(len(one), len(other) - shift)
    return one[start:stop], other[start + shift : stop + shift]


def _dispersion(fingerprints: Sequence[Bits], frames: Frames) -> float:
    """By how much unlike clips of this corpus differ more than their independent bits say: at least 1.

    Tones that rise and fade alike have more in common than what each repeats. Few of the pairs that are drawn are
    copies; for a small corpus of little but copies the number is bounded, so that they are found all the same.
    """
    random = np.random.default_rng(0)
    drawn = random.integers(len(fingerprints), size=(_DISPERSION_PAIRS, 2))
    drawn = np.pad(drawn[drawn[:, 0] != drawn[:, 1]], ((0, 0), (0, 1)))
    found = [
        4 * (share - 0.5) ** 2 * independent_bits(*_aligned(fingerprints, *pair))
        for pair, share in zip(*(each.tolist() for each in frames.compared(drawn)), strict=True)
    ]
    return min(max(1.0, float(np.quantile(found, 0.9)) / _NORMAL_SQUARE), _MAX_DISPERSION) if found else 1.0


def evidence(one: Bits, other: Bits, errors: float) -> float:
    """How unlikely it is that unlike clips have so many bits in common: minus the logarithm of Chernoff's bound of it.

    Args:
        one: (frames,) of a clip, 0 where it is silent.
        other: (frames,) of another, at the same times.
        errors: share of bits that differ, at most half.
    """
    entropy = -sum(p * math.log(p) for p in (errors, 1 - errors) if p > 0)
    return independent_bits(one, other) * (math.log(2) - entropy)


def independent_bits(one: Bits, other: Bits) -> float:
    """As how many tosses of a coin the bits of two unlike clips agree or differ.

    After Daugman, "The importance of being random" (2003), the number follows from the variance of the share of bits
    in common, which here follows from how the bits of each clip repeat each other, over time and from band to band.

    Args:
        one: (frames,) of a clip, 0 where it is silent.
        other: (frames,) of another, at the same times.
    """
    a, b = _signs(one), _signs(other)
    bits = 32 * np.count_nonzero((one != 0) & (other != 0))
    return float(bits / max(1.0, _repeats(a, b) * _repeats(a.T, b.T)))


def _signs(bits: Bits) -> FloatArray:
    """(frames, bits) of -1 and 1; 0 in silent frames."""
    known = np.where((bits[:, None] & POWERS) != 0, 1, -1)
    return np.where(bits[:, None] != 0, known, 0).astype(np.float32)


def _repeats(one: FloatArray, other: FloatArray) -> float:
    """By how much the variance of a sum along the first axis is larger than were its terms independent."""
    lags = len(one)
    weights = 1 - np.arange(lags) / lags
    both = weights * _correlation(one) * _correlation(other)
    return float(both[0] + 2 * both[1:].sum())


def _correlation(signs: FloatArray) -> FloatArray:
    """Mean product of values a lag apart along the first axis, (lags,)."""

    def products(values: FloatArray) -> Any:
        spectrum = np.fft.rfft(values, 2 * len(values), axis=0)
        return np.fft.irfft((np.abs(spectrum) ** 2).sum(axis=1), 2 * len(values))[: len(values)]

    pairs = products(np.abs(signs))
    return np.where(pairs > 0.5, products(signs) / np.maximum(pairs, 1), 0.0).astype(np.float32)
