"""Plots of a training run: confusion matrices and learning curves, drawn without a display."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from emotions.files.atomic import atomic_file
from training.metrics.classification import Scores

History = Mapping[str, Sequence[float | None]]
"""Metric name to its value after each epoch; None where it was not measured."""

# DejaVu Sans, which matplotlib ships, has Latin, Cyrillic, Greek and Arabic; the others are fallbacks where installed.
_FONTS = [
    "DejaVu Sans",
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "Microsoft YaHei",
    "Hiragino Sans GB",
    "Malgun Gothic",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
]
INK = "#1f2933"
BLUE, ORANGE = "#2b6cb0", "#c05621"
_MANY_CLASSES = 8


def draw_confusion(path: Path, scores: Mapping[str, Scores], title: str) -> None:
    """Draw the confusion matrix of each target side by side.

    Args:
        path: PNG to write.
        scores: target -> scores of ``metrics.score``.
        title: part and protocol, such as ``test set, speaker-disjoint hold-out``.
    """
    side = [2.4 + 0.62 * len(each["labels"]) for each in scores.values()]

    def draw(figure: Figure) -> None:
        axes = figure.subplots(1, len(scores), squeeze=False, width_ratios=side)[0]
        for axis, (target, each) in zip(axes, scores.items(), strict=True):
            draw_matrix(axis, target, each)
        figure.suptitle(fill(title, int(12 * sum(side))), fontsize=10, color=INK)

    save_figure(path, (sum(side) + 1.0, max(side) + 1.0), draw)


def confusion_image(target: str, scores: Scores) -> NDArray[np.uint8]:
    """Confusion matrix of a target's scores as an image, (height, width, 3) uint8."""
    side = 2.4 + 0.62 * len(scores["labels"])
    with house_style():
        figure = Figure(figsize=(side + 1.0, side), layout="constrained", dpi=72)
        canvas: Any = FigureCanvasAgg(figure)
        draw_matrix(figure.subplots(), target, scores)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def draw_matrix(axis: Axes, target: str, scores: Mapping[str, Any]) -> None:
    """Draw a confusion matrix.

    Args:
        axis: where to draw.
        target: name of the target.
        scores: its scores; the counts may be means over seeds.
    """
    counts = np.array(scores["confusion"])
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*counts.shape):
        text = f"{share[row, column]:.0%}\n{counts[row, column]:.4g}" if counts[row].any() else "–"
        ink = "white" if share[row, column] > 0.55 else INK
        axis.text(column, row, text, ha="center", va="center", fontsize=8, color=ink)
    labels = scores["labels"]
    steep = len(labels) > _MANY_CLASSES or max(map(len, labels)) > 8
    axis.set_xticks(range(len(labels)), labels, rotation=40 if steep else 0, ha="right" if steep else "center")
    axis.set_yticks(range(len(labels)), labels)
    axis.set(xlabel="predicted", ylabel="truth")
    axis.set_title(f"{target}: UAR {scores['uar']:.3f}, WA {scores['wa']:.3f}, {scores['clips']} clips", fontsize=10)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)


def draw_curves(path: Path, history: History, best_epoch: int) -> None:
    """Draw loss and UAR, or CCC of dimensions, by epoch.

    Args:
        path: PNG to write.
        history: values of ``train/loss``, ``val/loss`` and ``val/<target>_uar`` after each epoch.
        best_epoch: epoch of the best checkpoint, from 0.
    """
    losses = {name: history[f"{name}/loss"] for name in ("train", "val") if f"{name}/loss" in history}
    ends = ("_uar", "_ccc")
    uars = {name[4:-4]: values for name, values in history.items() if name.startswith("val/") and name.endswith(ends)}
    figure_name = " or ".join(end[1:].upper() for end in ends if any(name.endswith(end) for name in history))

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        _lines(left, losses, "loss", best_epoch)
        _lines(right, uars, f"{figure_name or 'UAR'} on the validation set", best_epoch)
        right.set_ylim(0, 1)

    save_figure(path, (9.5, 3.6), draw)


def _lines(axis: Axes, series: History, title: str, best_epoch: int) -> None:
    for name, values in series.items():
        axis.plot(
            range(1, len(values) + 1), [np.nan if v is None else v for v in values], ".-", lw=1.6, ms=5, label=name
        )
    kept = best_epoch + 1  # people count from 1
    axis.axvline(kept, color="#9aa5b1", lw=1, ls=":", label=f"kept: epoch {kept}")
    axis.set_title(title, fontsize=10)
    axis.set_xlabel("epoch")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8)


def save_figure(path: Path, size: tuple[float, float], draw: Callable[[Figure], None]) -> None:
    """Draw a figure and write it as a PNG, in the house style.

    Args:
        path: PNG to write.
        size: width and height, in inches.
        draw: draws into the figure.
    """
    with house_style(), atomic_file(path) as temporary:
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        figure.savefig(temporary, dpi=144, format="png")


@contextmanager
def house_style() -> Iterator[None]:
    """Use the fonts and colours of all plots within a block."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    fonts = [name for name in _FONTS if name in installed]
    cycle = cycler(color=[BLUE, ORANGE, "#2f855a", "#6b46c1", "#b83280"])
    style: Any = {"font.family": fonts, "axes.prop_cycle": cycle, "text.color": INK, "axes.labelcolor": INK}
    with mpl.rc_context(style), warnings.catch_warnings():
        # Scripts without an installed font are drawn as boxes; the metrics are in metrics.json too.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font", category=UserWarning)
        yield
