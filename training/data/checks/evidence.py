"""How much it tells that two clips have many bits in common: of steady sounds little, as their bits repeat each other.

Pairs are judged many at a time: among unlike tones, not among speech, many agree by chance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from emotions.audio.windows import Float64Array, IntArray
from training.data.checks.fingerprints import POWERS, Bits
from training.data.checks.frames import Frames

_BANDS = len(POWERS)
_AT_ONCE = 1 << 16  # frames of each side: what is computed of them stays in the cache
_SHORT = 512  # frames, up to which bits are counted at each lag faster than by Fourier transforms
_Sums = tuple[IntArray, IntArray]
"""(pairs, lags): sums of the products of all values of -1 and 1 that are so far apart, and how many they are."""


def evidence(frames: Frames, pairs: IntArray, errors: Float64Array) -> Float64Array:
    """How unlikely it is that unlike clips have so many bits in common: minus the logarithm of Chernoff's bound of it.

    Args:
        frames: of all clips.
        pairs: (pairs, 3) int64: a clip, another, and by how many frames that is late.
        errors: (pairs,) share of bits that differ, at most half.

    Returns:
        (pairs,) from 0 on.
    """
    known = np.clip(errors, 1e-300, 1.0)
    entropy = -(known * np.log(known) + (1 - errors) * np.log1p(-errors))
    return independent_bits(frames, pairs) * (math.log(2) - entropy)


def independent_bits(frames: Frames, pairs: IntArray) -> Float64Array:
    """As how many tosses of a coin the bits of two unlike clips agree or differ, (pairs,).

    After Daugman, "The importance of being random" (2003), the number follows from the variance of the share of bits
    in common, which here follows from how the bits of each clip repeat each other, over time and from band to band.

    Args:
        frames: of all clips.
        pairs: as of ``evidence``.
    """
    found = np.zeros(len(pairs))
    for part in _parts(frames.common(pairs)):
        one, other = frames.aligned(pairs[part])
        lengths = frames.common(pairs[part])[:, None]
        bits = _BANDS * np.count_nonzero((one != 0) & (other != 0), axis=1)
        repeats = _repeats(_over_time, one, other, lengths) * _repeats(_over_bands, one, other, np.array(_BANDS))
        found[part] = bits / np.maximum(1.0, repeats)
    return found


def _parts(lengths: IntArray) -> Iterator[IntArray]:
    """Indices of pairs of about one length, so many that their frames are not more than ``_AT_ONCE``."""
    order = np.argsort(lengths, kind="stable")
    at = len(order)
    while at:  # from the longest on, to which the others are padded
        before = max(0, at - max(1, _AT_ONCE // max(1, int(lengths[order[at - 1]]))))
        yield order[before:at]
        at = before


def _repeats(sums: Callable[[Bits], _Sums], one: Bits, other: Bits, lengths: IntArray) -> Float64Array:
    """By how much the variance of a sum over time, or bands, is larger than were its terms independent: (pairs,)."""
    of_one, of_other = _correlation(*sums(one)), _correlation(*sums(other))
    both = np.maximum(0, 1 - np.arange(of_one.shape[1]) / lengths) * of_one * of_other
    return np.asarray(both[:, 0] + 2 * both[:, 1:].sum(axis=1), np.float64)


def _correlation(products: IntArray, counts: IntArray) -> Float64Array:
    return np.where(counts > 0, products / np.maximum(counts, 1), 0.0)


def _over_time(bits: Bits) -> _Sums:
    """Sums over frames (pairs, frames), at each lag in frames."""
    if bits.shape[1] > _SHORT:
        return _by_transforms(bits)
    frames = bits.shape[1]
    products, counts = np.zeros(bits.shape, np.int64), np.zeros(bits.shape, np.int64)
    # A row is a frame of all pairs: as long as its arrays are, numpy computes several values at once.
    rows = np.ascontiguousarray(bits.T)
    loud = (rows != 0).astype(np.uint8)
    for lag in range(frames):
        early, late = slice(0, frames - lag), slice(lag, frames)
        both = loud[early] & loud[late]
        different = np.bitwise_count(rows[early] ^ rows[late]) * both
        counts[:, lag] = _BANDS * both.sum(axis=0, dtype=np.uint16)
        products[:, lag] = counts[:, lag] - 2 * different.sum(axis=0, dtype=np.uint16).astype(np.int64)
    return products, counts


def _by_transforms(bits: Bits) -> _Sums:
    signs = np.where((bits[..., None] & POWERS) != 0, np.float32(1), np.float32(-1)) * (bits != 0)[..., None]
    size = 2 * bits.shape[1]

    def summed(values: npt.NDArray[np.float32]) -> IntArray:
        power: Any = np.square(np.abs(np.fft.rfft(values, size, axis=1))).sum(axis=2)
        return np.rint(np.fft.irfft(power, size, axis=1)[:, : bits.shape[1]]).astype(np.int64)

    return summed(signs), _BANDS * summed((bits != 0)[..., None].astype(np.float32))


def _over_bands(bits: Bits) -> _Sums:
    """Sums over bands, of each of the frames (pairs, frames), at each lag in bands."""
    rows = np.ascontiguousarray(bits.T)
    loud = np.count_nonzero(rows, axis=0)  # what is silent has no bits, and nothing different
    lags = np.arange(_BANDS)
    counts = loud[:, None] * (_BANDS - lags)
    different = np.zeros((len(bits), _BANDS), np.int64)
    sums = np.uint16 if len(rows) <= _SHORT else np.uint32
    pairs = np.empty_like(rows)
    for lag in range(_BANDS):
        np.right_shift(rows, np.uint32(lag), out=pairs)
        pairs ^= rows
        pairs &= np.uint32((1 << (_BANDS - lag)) - 1)
        different[:, lag] = np.bitwise_count(pairs).sum(axis=0, dtype=sums)
    return counts - 2 * different, counts
