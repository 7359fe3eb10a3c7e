"""Pictures of values: answers against the truth, their difference (Bland-Altman), and the plane of two dimensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emotions.audio.windows import Float64Array, FloatArray
from training.metrics.plots import BLUE, INK, ORANGE, save_figure

_MOST, _MOST_POINTS = 6, 5_000
_VALENCE, _AROUSAL = ("valence", "pleasure"), ("arousal", "activation")
_WITHIN = 1.96
"""Deviations of a normal distribution that 95 % lie within."""


class Spec(Protocol):
    """What is known of the targets."""

    @property
    def targets(self) -> Mapping[str, Sequence[str]]:
        """Names of each target's dimensions."""

    @property
    def ranges(self) -> Mapping[str, tuple[float, float]]:
        """Range of each."""


def draw_values(path: Path, values: Mapping[str, tuple[FloatArray, FloatArray]], spec: Spec, title: str) -> None:
    """Draw for each dimension, at most six, the answers and their differences; and the plane of valence and arousal.

    J. M. Bland and D. G. Altman, "Statistical methods for assessing agreement", The Lancet 327, 1986.

    Args:
        path: PNG to write.
        values: target -> truth and answers, (clips, dimensions) each, NaN where the truth is not known.
        spec: names and ranges.
        title: part and protocol.
    """
    panels = [(target, column) for target in values for column in range(len(spec.targets[target]))][:_MOST]
    planes = [(target, plane) for target in values if (plane := _plane(spec.targets[target])) is not None][:1]
    columns = len(panels) + len(planes)

    def draw(figure: Figure) -> None:
        axes = figure.subplots(2, columns, squeeze=False)
        for place, (target, column) in enumerate(panels):
            truth, answers = (each[:, column].astype(np.float64) for each in values[target])
            known = np.flatnonzero(~np.isnan(truth))[:_MOST_POINTS]
            name, bounds = f"{target}.{spec.targets[target][column]}", spec.ranges[target]
            _against(axes[0, place], name, truth[known], answers[known], bounds)
            _bland_altman(axes[1, place], truth[known], answers[known], bounds)
        for target, plane in planes:
            for row, (what, each) in enumerate(zip(("truth", "answers"), values[target], strict=True)):
                _on_plane(axes[row, -1], what, each[:, plane][:_MOST_POINTS], spec.ranges[target])
        figure.suptitle(title, fontsize=10, color=INK)

    save_figure(path, (3.4 * columns + 0.4, 6.6), draw)


def _plane(names: Sequence[str]) -> list[int] | None:
    """Places of valence and arousal among the dimensions; None where one is missing."""
    lower = [name.lower() for name in names]
    found = [[lower.index(name) for name in meant if name in lower][:1] for meant in (_VALENCE, _AROUSAL)]
    return [found[0][0], found[1][0]] if all(found) else None


def _against(axis: Axes, name: str, truth: Float64Array, answers: Float64Array, bounds: tuple[float, float]) -> None:
    axis.axline((bounds[0], bounds[0]), (bounds[1], bounds[1]), color=ORANGE, lw=1, ls="--")
    axis.plot(truth, answers, ".", ms=3, alpha=0.5, color=BLUE)
    axis.set(xlim=bounds, ylim=bounds, xlabel="truth", ylabel="answer")
    axis.set_title(name.replace("$", r"\$")[:40], fontsize=10)


def _bland_altman(axis: Axes, truth: Float64Array, answers: Float64Array, bounds: tuple[float, float]) -> None:
    """Differences over means, with the bias and the limits of agreement."""
    difference = answers - truth
    axis.plot((answers + truth) / 2, difference, ".", ms=3, alpha=0.5, color=BLUE)
    if len(difference):
        bias, deviation = float(difference.mean()), float(difference.std())
        for line, style in ((bias, "-"), (bias - _WITHIN * deviation, "--"), (bias + _WITHIN * deviation, "--")):
            axis.axhline(line, color=ORANGE, lw=1, ls=style)
    axis.set(xlim=bounds, xlabel="mean of answer and truth", ylabel="answer - truth")


def _on_plane(axis: Axes, what: str, points: FloatArray, bounds: tuple[float, float]) -> None:
    axis.plot(points[:, 0], points[:, 1], ".", ms=3, alpha=0.5, color=BLUE)
    middle = sum(bounds) / 2
    axis.axhline(middle, color="#9aa5b1", lw=1)
    axis.axvline(middle, color="#9aa5b1", lw=1)
    axis.set(xlim=bounds, ylim=bounds, xlabel="valence", ylabel="arousal")
    axis.set_title(f"plane, {what}", fontsize=10)
