"""Plots of a report, as PNG bytes."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training.metrics.plots import BLUE, ORANGE, draw_matrix, house_style

_MAX_ROWS = 40


def confusion_png(target: str, found: Mapping[str, Any]) -> bytes:
    """Confusion matrix of a ``target``, of its metrics ``found``."""
    side = 2.4 + 0.62 * len(found["labels"])
    return _png((side + 1.0, side), lambda axis: draw_matrix(axis, target, found))


def reliability_png(calibration: Mapping[str, Any]) -> bytes:
    """Accuracy by confidence, before and after calibration."""

    def draw(axis: Axes) -> None:
        axis.plot([0, 1], [0, 1], color="#9aa5b1", lw=1, ls=":")
        for name, colour in (("before", ORANGE), ("after", BLUE)):
            rows = calibration[f"reliability_{name}"]
            x, y = ([row[key] for row in rows] for key in ("confidence", "accuracy"))
            label = f"{name}: ECE {calibration[f'ece_{name}']:.3f}"
            axis.plot(x, y, "-", color=colour, lw=1.4, label=label)
            axis.scatter(x, y, [8 + 120 * row["clips"] / sum(r["clips"] for r in rows) for row in rows], color=colour)
        axis.set(xlabel="confidence", ylabel="share that is right", xlim=(0, 1), ylim=(0, 1))
        axis.set_title("reliability", fontsize=10)
        axis.legend(frameon=False, fontsize=8, loc="upper left")

    return _png((4.2, 3.8), draw)


def risk_png(rows: Sequence[Mapping[str, float]]) -> bytes:
    """Risk-coverage curve."""

    def draw(axis: Axes) -> None:
        axis.plot([row["coverage"] for row in rows], [row["risk"] for row in rows], color=BLUE, lw=1.6)
        axis.set(xlabel="share of clips answered", ylabel="share of answers that are wrong", xlim=(0, 1))
        axis.set_ylim(0, None)
        axis.set_title("risk and coverage", fontsize=10)
        axis.grid(alpha=0.25)

    return _png((4.2, 3.8), draw)


def table_png(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """UAR of each of the first speakers with its interval."""
    shown = rows[:_MAX_ROWS]

    def draw(axis: Axes) -> None:
        for place, row in enumerate(shown):
            if row["uar_ci"] is not None:
                axis.plot(row["uar_ci"], [place, place], color="#9fb3c8", lw=3, solid_capstyle="round")
        axis.plot([row["uar"] for row in shown], range(len(shown)), "o", color=BLUE, ms=5)
        axis.set_yticks(range(len(shown)), [row["name"] for row in shown], fontsize=8)
        axis.set(xlim=(0, 1), xlabel="UAR")
        axis.invert_yaxis()
        axis.grid(alpha=0.25, axis="x")

    return _png((4.6, 1.2 + 0.26 * len(shown)), draw)


def _png(size: tuple[float, float], draw: Callable[[Axes], None]) -> bytes:
    content = io.BytesIO()
    with house_style():
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        axis = figure.subplots()
        draw(axis)
        axis.spines[["top", "right"]].set_visible(False)
        figure.savefig(content, dpi=110, format="png", metadata={"Software": None})
    return content.getvalue()
