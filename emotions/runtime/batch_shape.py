"""The shape of a batch: windows of mixed length are padded to one array, and cut into runs of like length."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from emotions.audio.windows import FloatArray, IntArray

Probabilities = dict[str, FloatArray]
"""target -> (batch, classes) float32."""
Run = Callable[[FloatArray, IntArray], Probabilities]
"""(batch, samples) float32 and (batch,) int64 -> probabilities."""


def length_bucketed(run: Run, max_samples: int, min_fill: float = 0.0) -> Run:
    """Run a model of dynamic windows on windows of like length, cut to the longest of them.

    So a window of 30 s slows no other one of its batch down, and a long recording does not take all memory.

    Args:
        run: the model.
        max_samples: most samples of one run, padding included; one window may be longer.
        min_fill: least length of a window as a share of the longest of its run, 0 to 1.
    """

    def run_bucketed(waveform: FloatArray, length: IntArray) -> Probabilities:
        longest_first = np.argsort(-length, kind="stable")
        parts = []
        for rows in _buckets(longest_first, length, max_samples, min_fill):
            samples = max(1, int(length[rows[0]]))
            parts.append(run(np.ascontiguousarray(waveform[rows, :samples]), length[rows]))
        as_given = np.argsort(longest_first)
        return {target: np.concatenate([part[target] for part in parts])[as_given] for target in parts[0]}

    return run_bucketed


def _buckets(rows: IntArray, length: IntArray, max_samples: int, min_fill: float) -> Iterator[IntArray]:
    """Rows in order of falling length, as many at once as the limits allow."""
    while len(rows):
        longest = max(1, int(length[rows[0]]))
        candidates = rows[: max_samples // longest]
        count = max(1, int((length[candidates] >= min_fill * longest).sum()))
        yield rows[:count]
        rows = rows[count:]
