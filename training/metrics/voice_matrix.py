"""Picture of who sounds like whom: distances of voices, those that are alike side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from emotions.audio.windows import Float64Array
from training.metrics.plots import ORANGE, save_figure

MOST = 60
"""Voices that a picture shows."""
_LABEL = 16


def draw_voices(
    path: Path, names: Sequence[str], distances: Float64Array, suspicious: Sequence[tuple[str, str]]
) -> None:
    """Draw a matrix of distances.

    Args:
        path: PNG to write.
        names: of the voices, at most ``MOST``.
        distances: (names, names), 0 for one person and about 1 for two; symmetric.
        suspicious: pairs that get a frame.
    """
    order = _alike_beside(distances)
    shown = [names[index] for index in order]
    side = 2.6 + 0.28 * len(names)

    def draw(figure: Figure) -> None:
        axis = figure.subplots()
        image = axis.imshow(distances[np.ix_(order, order)], cmap="Blues_r", vmin=0, vmax=1.4)
        _label(axis, shown)
        for first, second in suspicious:
            if first in shown and second in shown:
                _frame(axis, shown.index(first), shown.index(second))
        bar = figure.colorbar(image, ax=axis, shrink=0.7)
        bar.set_label("distance of voices: 0 one person, about 1 two", fontsize=8)
        bar.ax.tick_params(labelsize=7)

    save_figure(path, (side + 1.2, side), draw)


def _alike_beside(distances: Float64Array) -> list[int]:
    """Order of voices in which like ones are neighbours: the leaves of a tree by average distance."""
    if len(distances) < 3:
        return list(range(len(distances)))
    condensed = squareform(distances, checks=False)
    return [int(leaf) for leaf in leaves_list(linkage(condensed, "average", optimal_ordering=True))]


def _label(axis: Axes, names: Sequence[str]) -> None:
    short: Any = [name if len(name) <= _LABEL else f"{name[: _LABEL - 1]}…" for name in names]
    axis.set_xticks(range(len(names)), short, rotation=90, fontsize=7, parse_math=False)
    axis.set_yticks(range(len(names)), short, fontsize=7, parse_math=False)


def _frame(axis: Axes, one: int, other: int) -> None:
    for x, y in ((one, other), (other, one)):
        axis.plot(*_square(x, y), color=ORANGE, linewidth=1.6)


def _square(x: int, y: int) -> tuple[list[float], list[float]]:
    return [x - 0.5, x + 0.5, x + 0.5, x - 0.5, x - 0.5], [y - 0.5, y - 0.5, y + 0.5, y + 0.5, y - 0.5]
