"""``summary.png``: shares of the labels, confidence and duration of what was classified."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from emotions.errors import ConfigError, MissingExtra
from emotions.files.atomic import atomic_file
from serving.batch.summary import CONFIDENCE_BINS, DURATION_BINS, Totals

_MAX_LABELS = 12
_COLOUR, _CHANCE = "#3b6ea5", "#c05621"


def check_plot(path: Path) -> None:
    """Refuse a plot that could not be drawn, before anything is computed."""
    if path.suffix.lower() != ".png":
        raise ConfigError(f"{path}: a picture of the summary ends with .png")
    if find_spec("matplotlib") is None:
        raise MissingExtra("plot", "matplotlib")


def plot_summary(path: Path, totals: Totals, classes: Mapping[str, int]) -> None:
    """Draw a panel for each target with the shares of its labels, one of the confidence and one of the duration.

    Args:
        path: the PNG file.
        totals: counts of all files.
        classes: target -> number of its classes; the confidence is that of the first. Without one there is no panel.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = len(totals.labels) + 1 + bool(classes)
    figure = Figure(figsize=(4.2 * panels, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    for axis, (target, counts) in zip(axes, totals.labels.items(), strict=False):
        _labels(axis, target, counts)
    if classes:
        _confidence(axes[-2], totals, next(iter(classes.items())))
    _duration(axes[-1], totals)
    errors = f"{totals.errors:,} error{'' if totals.errors == 1 else 's'}"
    figure.suptitle(f"{_files(totals.files)}, {errors}, {totals.audio_sec / 3600:,.2f} h of audio")
    with atomic_file(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")


def _labels(axis: Any, target: str, counted: Counter[str]) -> None:
    counts, total = dict(counted.most_common(_MAX_LABELS)), counted.total()
    names = [_plain(name)[:24] for name in counts]
    bars = axis.barh(range(len(names)), [100 * count / total for count in counts.values()], color=_COLOUR)
    axis.bar_label(bars, [_files(count) for count in counts.values()], padding=3, fontsize=8)
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.margins(x=0.3)
    left = len(counted) - len(counts)
    axis.set(title=_plain(target) + (f" ({left} rarer labels left out)" if left else ""), xlabel="files classified (%)")


def _confidence(axis: Any, totals: Totals, target: tuple[str, int]) -> None:
    """Draw how sure the model was; below chance, one over the number of classes, no answer can be."""
    name, classes = target
    lefts = [bin_ / CONFIDENCE_BINS for bin_ in range(CONFIDENCE_BINS)]
    counts = [totals.confidences[bin_] for bin_ in range(CONFIDENCE_BINS)]
    axis.bar(lefts, counts, width=0.9 / CONFIDENCE_BINS, align="edge", color=_COLOUR)
    axis.axvline(1 / classes, color=_CHANCE, ls="--", lw=1.2, label=f"chance: {1 / classes:.2g}")
    axis.legend(frameon=False, fontsize=8)
    axis.set(title="confidence", xlabel=f"probability of the label of {_plain(name)} (0 to 1)", xlim=(0, 1))
    _whole(axis)


def _duration(axis: Any, totals: Totals) -> None:
    """Draw durations on a logarithmic axis, labelled in seconds."""
    from matplotlib.ticker import FuncFormatter

    lefts = [2 ** (bin_ / DURATION_BINS) for bin_ in totals.durations]
    widths = [left * (2 ** (0.9 / DURATION_BINS) - 1) for left in lefts]
    axis.bar(lefts, list(totals.durations.values()), width=widths, align="edge", color=_COLOUR)
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds:g}"))
    axis.set(title="duration", xlabel="duration (s)")
    _whole(axis)


def _whole(axis: Any) -> None:
    """Count files in whole numbers."""
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    axis.yaxis.set_major_locator(MaxNLocator(integer=True))
    axis.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axis.set_ylim(0, max(1.0, axis.get_ylim()[1]))
    axis.set_ylabel("files")


def _files(count: int) -> str:
    return f"{count:,} file{'' if count == 1 else 's'}"


def _plain(text: str) -> str:
    """Text that matplotlib does not take for a formula."""
    return text.replace("$", r"\$")
