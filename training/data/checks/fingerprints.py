"""Audio fingerprints, robust to gain, resampling, codec and a shift of a few hundred milliseconds.

After Haitsma and Kalker, "A highly robust audio fingerprinting system" (2002): every 10 ms, 32 bits that say whether
the energy difference of neighbouring bands rises or falls. Clips that share one of them, with a few more at the same
distance in time, are compared bit by bit. Two takes of a sentence by one speaker have no more bits in common than
strangers have: only copies do. How few bits may differ depends on how many clips are compared, and on how much these
two tell: the bits of a steady tone repeat each other, and some of 450 million pairs of tones agree by chance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from emotions.audio.decode import SAMPLE_RATE
from emotions.audio.windows import FloatArray, IntArray

Bits = npt.NDArray[np.uint32]

VERSION = 1
"""Version of the algorithm: cached fingerprints of another one are computed again."""
MAX_ERRORS = 0.22
"""Share of different bits up to which two clips are the same recording; strangers differ in half of them."""
MIN_FRAMES = 40
"""Frames that two clips must have in common, 0.4 s."""
MAX_CHANCE = 1e-3
"""Probability that any two unlike clips of a corpus are taken for the same recording."""

_RATE = 8_000
_HOP = 80  # 10 ms
_WINDOW = 2_048  # 256 ms: so wide that a shift by a part of a hop changes few bits
_BANDS = 33  # 32 differences, a bit each
_LOW_HZ, _HIGH_HZ = 300.0, 3_200.0
_ACTIVE = 1e-4  # of the energy of the loudest frame
_MIN_VOTES = 2
_BUCKET = 50  # of equal frames only so many neighbours are paired: hum would make the pairs quadratic
_DISPERSION_PAIRS = 1_000
_MAX_DISPERSION = 5.0
_NORMAL_SQUARE = 2.706  # 90 of 100 squares of a standard normal variable lie below
_BLOCK = 256  # frames transformed at once, to bound memory


def _bands() -> IntArray:
    """The first bin of each band, and the one past the last, evenly spaced in the logarithm of the frequency."""
    hz = np.fft.rfftfreq(_WINDOW, 1 / _RATE)
    return np.searchsorted(hz, np.geomspace(_LOW_HZ, _HIGH_HZ, _BANDS + 1))


*_STARTS, _STOP = _bands()
_TAPER = np.hanning(_WINDOW).astype(np.float32)
_POWERS = (np.uint32(1) << np.arange(32, dtype=np.uint32)).astype(np.uint32)


def fingerprint(waveform: FloatArray) -> Bits:
    """The fingerprint of a clip.

    Args:
        waveform: (samples,) float32 at 16 kHz.

    Returns:
        (frames,) uint32, one every 10 ms; 0 where it is nearly silent.
    """
    slow = soxr.resample(np.asarray(waveform, np.float32), SAMPLE_RATE, _RATE)
    padded = np.pad(slow, _WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP]
    blocks = [_energies(frames[at : at + _BLOCK]) for at in range(0, len(frames), _BLOCK)]
    energy = np.concatenate(blocks)
    drift = np.diff(np.diff(energy, axis=1), axis=0)
    bits = ((drift > 0) @ _POWERS.astype(np.float64)).astype(np.uint32)
    loud = energy.sum(axis=1)[1:]
    bits[loud <= _ACTIVE * loud.max(initial=0.0)] = 0
    return bits


def _energies(frames: FloatArray) -> FloatArray:
    power = np.square(np.abs(np.fft.rfft(frames * _TAPER, axis=1))).astype(np.float32)
    # Not as a product of matrices: threads of BLAS take 80 times as long to wait for each other as one to compute.
    return np.add.reduceat(power[:, :_STOP], _STARTS, axis=1)


@dataclass(frozen=True)
class Match:
    """Two clips with the same audio.

    Attributes:
        shift_sec: delay of the second clip.
    """

    first: int
    second: int
    shift_sec: float
    errors: float


def find_matches(fingerprints: Sequence[Bits]) -> list[Match]:
    """Find every pair of clips with the same audio.

    Time and memory grow with the frames of all clips, and with the pairs that share bits by chance.
    """
    best: dict[tuple[int, int], tuple[float, int]] = {}
    for first, second, shift in _candidates(fingerprints):
        errors = _errors(*_aligned(fingerprints, first, second, shift))
        if errors is not None and errors <= MAX_ERRORS:
            best[first, second] = min((errors, shift), best.get((first, second), (1.0, 0)))
    found = {}
    for (first, second), (errors, shift) in sorted(best.items()):
        match = Match(first, second, shift * _HOP / _RATE, errors)
        found[match] = evidence(*_aligned(fingerprints, first, second, shift), errors)
    wanted = _wanted(fingerprints, [*found.values()])
    return [match for match, evident in found.items() if evident >= wanted]


def _wanted(fingerprints: Sequence[Bits], found: Sequence[float]) -> float:
    """Evidence that a match takes: unlike clips of the corpus, each compared at each shift, seldom have as much."""
    wanted = math.log(max(1, len(fingerprints) * sum(len(each) for each in fingerprints)) / MAX_CHANCE)
    if all(evident >= _MAX_DISPERSION * wanted for evident in found):  # as in most corpora: nothing is in doubt
        return wanted
    return wanted * _dispersion(fingerprints)


def _candidates(fingerprints: Sequence[Bits]) -> list[tuple[int, int, int]]:
    """(first, second, frames that the second is later) of pairs with several equal frames at that distance."""
    if not fingerprints:
        return []
    bits = np.concatenate(fingerprints)
    clip = np.repeat(np.arange(len(fingerprints)), [len(each) for each in fingerprints])
    frame = np.concatenate([np.arange(len(each)) for each in fingerprints])
    keep = bits != 0
    order = np.lexsort((clip[keep], bits[keep]))
    bits, clip, frame = bits[keep][order], clip[keep][order], frame[keep][order]
    votes: list[Any] = []
    for step in range(1, _BUCKET):
        same = np.flatnonzero(bits[step:] == bits[:-step])
        if not len(same):
            break
        other = same[clip[same] != clip[same + step]]
        shift = frame[other + step] - frame[other]
        votes.append(np.stack([clip[other], clip[other + step], shift], axis=1))
    return _elected(np.concatenate(votes)) if votes else []


def _elected(votes: IntArray) -> list[tuple[int, int, int]]:
    """Pairs and shifts with enough votes; a shift's neighbours vote for it too."""
    near = np.concatenate([votes + np.array([0, 0, step]) for step in (-1, 0, 1)])
    found, counts = np.unique(near, axis=0, return_counts=True)
    kept = found[counts >= _MIN_VOTES]
    return [(int(first), int(second), int(shift)) for first, second, shift in kept]


def _aligned(fingerprints: Sequence[Bits], first: int, second: int, shift: int) -> tuple[Bits, Bits]:
    """The frames that two clips have in common where the second is ``shift`` frames later."""
    one, other = fingerprints[first], fingerprints[second]
    start, stop = max(0, -shift), min(len(one), len(other) - shift)
    return one[start:stop], other[start + shift : stop + shift]


def _dispersion(fingerprints: Sequence[Bits]) -> float:
    """By how much unlike clips of this corpus differ more than their independent bits say: at least 1.

    Tones that rise and fade alike have more in common than what each repeats. Few of the pairs that are drawn are
    copies; for a small corpus of little but copies the number is bounded, so that they are found all the same.
    """
    random = np.random.default_rng(0)
    found = []
    for first, second in random.integers(len(fingerprints), size=(_DISPERSION_PAIRS, 2)):
        frames = min(len(fingerprints[first]), len(fingerprints[second]))
        one = fingerprints[first][:frames]
        other = fingerprints[second][:frames]
        if first != second and (errors := _errors(one, other)) is not None:
            found.append(4 * (errors - 0.5) ** 2 * independent_bits(one, other))
    return min(max(1.0, float(np.quantile(found, 0.9)) / _NORMAL_SQUARE), _MAX_DISPERSION) if found else 1.0


def _errors(one: Bits, other: Bits) -> float | None:
    """Share of bits that differ where both are loud; None where that is too short."""
    voiced = (one != 0) & (other != 0)
    if np.count_nonzero(voiced) < MIN_FRAMES:
        return None
    return float(np.bitwise_count(one[voiced] ^ other[voiced]).mean()) / 32


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
    known = np.where((bits[:, None] & _POWERS) != 0, 1, -1)
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
