"""Audio fingerprints, robust to gain, resampling, codec and a shift of a few hundred milliseconds.

After Haitsma and Kalker, "A highly robust audio fingerprinting system" (2002): every 10 ms, 32 bits that say whether
the energy difference of neighbouring bands rises or falls. Clips that share one of them, with a few more at the same
distance in time, are compared bit by bit. Two takes of a sentence by one speaker have no more bits in common than
strangers have: only copies do.
"""

from __future__ import annotations

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

_RATE = 8_000
_HOP = 80  # 10 ms
_WINDOW = 2_048  # 256 ms: so wide that a shift by a part of a hop changes few bits
_BANDS = 33  # 32 differences, a bit each
_LOW_HZ, _HIGH_HZ = 300.0, 3_200.0
_ACTIVE = 1e-4  # of the energy of the loudest frame
_MIN_VOTES = 2
_BUCKET = 50  # of equal frames only so many neighbours are paired: hum would make the pairs quadratic
_BLOCK = 256  # frames transformed at once, to bound memory


def _bands() -> FloatArray:
    """Which bins each of the bands adds up, (bins, bands), evenly spaced in the logarithm of the frequency."""
    hz = np.fft.rfftfreq(_WINDOW, 1 / _RATE)
    edges = np.geomspace(_LOW_HZ, _HIGH_HZ, _BANDS + 1)
    return ((hz[:, None] >= edges[:-1]) & (hz[:, None] < edges[1:])).astype(np.float32)


_FILTER = _bands()
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
    power: FloatArray = np.square(np.abs(np.fft.rfft(frames * _TAPER, axis=1))).astype(np.float32) @ _FILTER
    return power


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
    pairs = [_verified(fingerprints, *each) for each in _candidates(fingerprints)]
    best: dict[tuple[int, int], Match] = {}
    for match in pairs:
        if match is not None:
            known = best.get((match.first, match.second))
            if known is None or match.errors < known.errors:
                best[match.first, match.second] = match
    return [best[key] for key in sorted(best)]


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


def _verified(fingerprints: Sequence[Bits], first: int, second: int, shift: int) -> Match | None:
    one, other = fingerprints[first], fingerprints[second]
    start, stop = max(0, -shift), min(len(one), len(other) - shift)
    a, b = one[start:stop], other[start + shift : stop + shift]
    voiced = (a != 0) & (b != 0)
    if voiced.sum() < MIN_FRAMES:
        return None
    errors = float(np.bitwise_count(a[voiced] ^ b[voiced]).mean()) / 32
    return Match(first, second, shift * _HOP / _RATE, errors) if errors <= MAX_ERRORS else None
