"""Audio fingerprints, robust to gain, resampling, codec and a shift of a few hundred milliseconds.

After Haitsma and Kalker, "A highly robust audio fingerprinting system" (2002): every 10 ms, 32 bits that say whether
the energy difference of neighbouring bands rises or falls. Two takes of a sentence by one speaker have no more bits in
common than strangers have: only copies do.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import soxr

from emotions.audio.decode import SAMPLE_RATE
from emotions.audio.windows import FloatArray, IntArray

Bits = npt.NDArray[np.uint32]

VERSION = 1
"""Version of the algorithm: cached fingerprints of another one are computed again."""
HOP_SEC = 0.01
"""Seconds from a frame to the next."""

_RATE = 8_000
_HOP = round(HOP_SEC * _RATE)
_WINDOW = 2_048  # 256 ms: so wide that a shift by a part of a hop changes few bits
_BANDS = 33  # 32 differences, a bit each
_LOW_HZ, _HIGH_HZ = 300.0, 3_200.0
_ACTIVE = 1e-4  # of the energy of the loudest frame
_BLOCK = 256  # frames transformed at once, to bound memory


def _bands() -> IntArray:
    """The first bin of each band, and the one past the last, evenly spaced in the logarithm of the frequency."""
    hz = np.fft.rfftfreq(_WINDOW, 1 / _RATE)
    return np.searchsorted(hz, np.geomspace(_LOW_HZ, _HIGH_HZ, _BANDS + 1))


*_STARTS, _STOP = _bands()
_TAPER = np.hanning(_WINDOW).astype(np.float32)
POWERS = (np.uint32(1) << np.arange(32, dtype=np.uint32)).astype(np.uint32)
"""The bits of a frame, each alone."""


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
    bits = ((drift > 0) @ POWERS.astype(np.float64)).astype(np.uint32)
    loud = energy.sum(axis=1)[1:]
    bits[loud <= _ACTIVE * loud.max(initial=0.0)] = 0
    return bits


def _energies(frames: FloatArray) -> FloatArray:
    power = np.square(np.abs(np.fft.rfft(frames * _TAPER, axis=1))).astype(np.float32)
    # Not as a product of matrices: threads of BLAS take 80 times as long to wait for each other as one to compute.
    return np.add.reduceat(power[:, :_STOP], _STARTS, axis=1)
