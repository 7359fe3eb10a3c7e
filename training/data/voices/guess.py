"""A guess at who speaks in clips of unknown speakers, by clustering their embeddings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

from emotions.audio.windows import Float64Array, FloatArray, IntArray
from training.data.voices.comparison import SCATTER, group_means

MAX_CLUSTERED = 4_000
"""Clips that are clustered, drawn by chance; memory grows with the square. Others go to the nearest cluster."""

_BLOCK = 4_096


def guess_speakers(embeddings: FloatArray, labels: Sequence[str], seed: int = 0) -> IntArray:
    """Guess who speaks: by Ward's method, into as few voices as leave a scatter in each that one person's clips have.

    Args:
        embeddings: (clips, dims) unit vectors.
        labels: class of each clip; what its clips have in common is taken away first.
        seed: of the draw of the clips that are clustered.

    Returns:
        Index of each clip's voice, (clips,), by falling number of clips.
    """
    _, classes = np.unique(np.array(labels), return_inverse=True)
    values = embeddings.astype(np.float64)
    values = values - group_means(values, classes)[classes]
    drawn = np.random.default_rng(seed).permutation(len(values))[:MAX_CLUSTERED]
    if len(drawn) < 2:
        return np.zeros(len(values), np.int64)
    centres = group_means(values[drawn], _clusters(values[drawn]))
    voices = _nearest(values, centres)
    found, counts = np.unique(voices, return_counts=True)
    rank = np.zeros(len(centres), np.int64)
    rank[found[np.argsort(-counts, kind="stable")]] = np.arange(len(found))
    ordered: IntArray = rank[voices]
    return ordered


def _clusters(values: Float64Array) -> IntArray:
    tree = linkage(values, "ward")
    # Each merge adds half its squared height to the squares within clusters; the k-th last one leaves k clusters.
    within = np.concatenate([[0.0], np.cumsum(np.square(tree[:, 2]) / 2)])[::-1]
    freedom = len(values) - np.arange(1, len(values))
    fits = np.flatnonzero(within[: len(freedom)] / freedom <= SCATTER)
    count = int(fits[0]) + 1 if len(fits) else len(values)
    clusters: IntArray = fcluster(tree, count, "maxclust").astype(np.int64) - 1
    return clusters


def _nearest(values: Float64Array, centres: Float64Array) -> IntArray:
    norms = np.square(centres).sum(axis=1)
    blocks = (values[at : at + _BLOCK] for at in range(0, len(values), _BLOCK))
    return np.concatenate([(norms - 2 * block @ centres.T).argmin(axis=1) for block in blocks])
