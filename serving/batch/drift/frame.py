"""What is looked at of clips as Parquet, a column a figure, which Evidently and other tools read.

The reference holds no clips: its rows are drawn evenly from its histograms, each column by itself, so that tools which
compare two tables column by column have one to compare with. What depends on several columns at once is not in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from emotions.audio.windows import Float64Array
from emotions.bundle.reference.observation import Observation
from emotions.bundle.reference.reference import Histogram, Reference
from emotions.files.atomic import atomic_file

Frame = dict[str, list[str | None] | list[float | None]]
_SEED = 0


def frame_of(clips: Sequence[Observation], reference: Reference) -> Frame:
    """A row a clip: the label of each target, and every figure that the reference has a histogram of."""
    labels: Frame = {target: [clip.labels.get(target) for clip in clips] for target in reference.labels}
    figures: Frame = {name: [clip.figures.get(name) for clip in clips] for name in reference.histograms}
    return {**labels, **figures}


def reference_frame(reference: Reference, labels: Mapping[str, Sequence[str]]) -> Frame:
    """As many rows as the reference had clips, by its counts.

    Args:
        reference: of a bundle.
        labels: of its targets, in output order.
    """
    random = np.random.default_rng(_SEED)
    frame: Frame = {}
    for target, counts in reference.labels.items():
        rows = [label for label, count in zip(labels[target], counts, strict=True) for _ in range(count)]
        frame[target] = [rows[at] for at in random.permutation(len(rows))]
    for name, histogram in reference.histograms.items():
        frame[name] = random.permutation(_drawn(histogram)).tolist()
    return frame


def _drawn(histogram: Histogram) -> Float64Array:
    """Values spread evenly in each bin; the outer ones are as wide as those beside them."""
    edges = histogram.edges
    width = (edges[-1] - edges[0]) / (len(edges) - 1) if len(edges) > 1 else max(1e-3, abs(edges[0]) / 10)
    ends = [edges[0] - width, *edges, edges[-1] + width]
    return np.concatenate(
        [
            low + (high - low) * (np.arange(count) + 0.5) / max(1, count)
            for low, high, count in zip(ends, ends[1:], histogram.counts, strict=False)
        ]
    )


def write_frame(path: Path, frame: Frame) -> None:
    """Write a frame as Parquet.

    Args:
        path: the file; what is there is replaced.
        frame: its columns.
    """
    import pyarrow
    from pyarrow import parquet

    with atomic_file(path) as temporary:
        parquet.write_table(pyarrow.table(frame), temporary)
