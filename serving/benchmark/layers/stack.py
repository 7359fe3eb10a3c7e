"""Windows of several clips as one batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from emotions.audio.windows import FloatArray, IntArray, Windows


def stacked(clips: Sequence[Windows]) -> tuple[FloatArray, IntArray]:
    """All windows of all clips: (windows, samples) float32, zero-padded to the longest, and (windows,) int64."""
    lengths = np.concatenate([clip.lengths for clip in clips])
    samples = np.zeros((len(lengths), max(clip.samples.shape[1] for clip in clips)), np.float32)
    at = 0
    for clip in clips:
        count, width = clip.samples.shape
        samples[at : at + count, :width] = clip.samples
        at += count
    return samples, lengths
