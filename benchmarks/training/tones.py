"""Clips of unlike tones: what is hardest on a search for copies, as they have much in common."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from emotions.audio.decode import SAMPLE_RATE
from emotions.audio.windows import FloatArray

SEC = 0.6
"""Seconds of a tone, where nothing else is said."""


def tones(clips: int, longest: float = SEC) -> Iterator[FloatArray]:
    """Harmonics of unlike pitch that fade, (samples,) at 16 kHz each.

    Args:
        clips: how many.
        longest: seconds of the longest; longer ones than ``SEC`` make all last from a second to this.
    """
    random, lengths = np.random.default_rng(0), np.random.default_rng(2)
    for _ in range(clips):
        sec = lengths.uniform(1.0, longest) if longest > SEC else SEC
        at = np.arange(round(sec * SAMPLE_RATE)) / SAMPLE_RATE
        phase = 2 * np.pi * random.uniform(80, 300) * at
        wave = sum(random.uniform(0.2, 1) / k * np.sin(k * phase + random.uniform(0, 6)) for k in range(1, 12))
        wave = 0.1 * wave * np.exp(-at * random.uniform(0, 3)) + 1e-4 * random.standard_normal(len(at))
        yield np.asarray(wave, np.float32)
