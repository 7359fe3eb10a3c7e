"""Answers over time, of the few recordings that a report plays."""

from __future__ import annotations

import numpy as np

from emotions.audio.windows import Float64Array, FloatArray

MOST_STEPS = 1_000
"""Windows of a recording that a report holds: of more, neighbours are averaged."""


def over_time(
    starts: Float64Array, ends: Float64Array, probabilities: FloatArray, begin: float = 0.0
) -> list[list[float]]:
    """The windows of a recording as a report holds them, in at most ``MOST_STEPS`` steps.

    Args:
        starts: (windows,) seconds in the clip, ascending; likewise ``ends``.
        ends: behind each.
        probabilities: (windows, classes).
        begin: second of the recording that the clip begins at.

    Returns:
        Start, end and the probability of each class, of each step.

    Example:
        >>> over_time(np.array([0.0, 2.0]), np.array([2.0, 3.5]), np.array([[0.5, 0.5], [1.0, 0.0]], np.float32))
        [[0.0, 2.0, 0.5, 0.5], [2.0, 3.5, 1.0, 0.0]]
    """
    together = -(-len(starts) // MOST_STEPS)
    first = np.arange(0, len(starts), together)
    behind = np.append(first[1:], len(starts))
    means = np.add.reduceat(probabilities.astype(np.float64), first, axis=0) / (behind - first)[:, None]
    spans = np.stack([starts[first], ends[behind - 1]], axis=1) + begin
    return [
        [*map(float, span.round(3)), *map(float, shares.round(4))] for span, shares in zip(spans, means, strict=True)
    ]
