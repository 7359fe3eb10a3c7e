"""Copies among clips: pairs whose fingerprints have more in common than chance brings among so many.

Clips with a few equal frames at the same distance in time are compared bit by bit. How few bits may differ depends on
how many clips are compared, and on how much these two tell: the bits of a steady tone repeat each other, and some of
450 million pairs of tones agree by chance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emotions.audio.windows import Float64Array, IntArray
from training.data.checks.candidates import candidates
from training.data.checks.evidence import evidence, independent_bits
from training.data.checks.fingerprints import HOP_SEC, Bits
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

    Memory grows with the frames of all clips, by 20 bytes each, and with the pairs whose evidence is enough.
    """
    frames = Frames(fingerprints)
    wanted = math.log(max(1, len(fingerprints) * len(frames)) / MAX_CHANCE)
    found: list[tuple[Match, float]] = []
    in_doubt = False
    for compared in map(frames.compared, candidates(frames)):
        pairs, errors = _most_alike(*compared)
        evident = evidence(frames, pairs, errors)
        in_doubt |= bool((evident < _MAX_DISPERSION * wanted).any())
        for at in np.flatnonzero(evident >= wanted).tolist():
            first, second, shift = pairs[at].tolist()
            found.append((Match(first, second, shift, float(errors[at])), float(evident[at])))
    if in_doubt:  # as in few corpora: most have nothing that is alike by chance
        wanted *= _dispersion(frames)
    return [match for match, enough in found if enough >= wanted]


def _most_alike(pairs: IntArray, errors: Float64Array) -> tuple[IntArray, Float64Array]:
    """Pairs with few enough errors, each at the shift where it has the fewest."""
    pairs, errors = pairs[errors <= MAX_ERRORS], errors[errors <= MAX_ERRORS]
    order = np.lexsort((pairs[:, 2], errors, pairs[:, 1], pairs[:, 0]))
    pairs, errors = pairs[order], errors[order]
    firsts = np.diff(pairs[:, :2], axis=0, prepend=-1).any(axis=1)
    return pairs[firsts], errors[firsts]


def _dispersion(frames: Frames) -> float:
    """By how much unlike clips of this corpus differ more than their independent bits say: at least 1.

    Tones that rise and fade alike have more in common than what each repeats. Few of the pairs that are drawn are
    copies; for a small corpus of little but copies the number is bounded, so that they are found all the same.
    """
    random = np.random.default_rng(0)
    drawn = random.integers(len(frames.lengths), size=(_DISPERSION_PAIRS, 2))
    pairs, shares = frames.compared(np.pad(drawn[drawn[:, 0] != drawn[:, 1]], ((0, 0), (0, 1))))
    found = 4 * (shares - 0.5) ** 2 * independent_bits(frames, pairs)
    return min(max(1.0, float(np.quantile(found, 0.9)) / _NORMAL_SQUARE), _MAX_DISPERSION) if len(found) else 1.0
