"""``summary.png``: shares of the labels, confidence and duration of what was classified."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from emotions.errors import ConfigError, MissingExtra
from emotions.files.atomic import atomic_file
from serving.batch.summary import CONFIDENCE_BINS, DURATION_BINS, Totals

_MAX_LABELS = 12
_COLOUR = "#3b6ea5"


def check_plot(path: Path) -> None:
    """Refuse a plot that could not be drawn, before anything is computed."""
    if path.suffix.lower() != ".png":
        raise ConfigError(f"{path}: a picture of the summary ends with .png")
    if find_spec("matplotlib") is None:
        raise MissingExtra("plot", "matplotlib")


def plot_summary(path: Path, totals: Totals) -> None:
    """Draw a panel for each target with the shares of its labels, one of the confidence and one of the duration.

    Args:
        path: the PNG file.
        totals: counts of all files.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = len(totals.labels) + 2
    figure = Figure(figsize=(4.2 * panels, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    for axis, (target, counts) in zip(axes, totals.labels.items(), strict=False):
        _labels(axis, target, dict(counts.most_common(_MAX_LABELS)), counts.total())
    _confidence(axes[-2], totals)
    _duration(axes[-1], totals)
    figure.suptitle(f"{totals.files:,} files, {totals.errors:,} errors, {totals.audio_sec / 3600:,.2f} h of audio")
    with atomic_file(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")


def _labels(axis: Any, target: str, counts: dict[str, int], total: int) -> None:
    names = [name.replace("$", r"\$")[:24] for name in counts]
    bars = axis.barh(range(len(names)), [100 * count / total for count in counts.values()], color=_COLOUR)
    axis.bar_label(bars, [f"{count:,}" for count in counts.values()], padding=3, fontsize=8)
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.margins(x=0.15)
    axis.set(title=target.replace("$", r"\$"), xlabel="% of the files classified")


def _confidence(axis: Any, totals: Totals) -> None:
    lefts = [bin_ / CONFIDENCE_BINS for bin_ in range(CONFIDENCE_BINS)]
    counts = [totals.confidences[bin_] for bin_ in range(CONFIDENCE_BINS)]
    axis.bar(lefts, counts, width=0.9 / CONFIDENCE_BINS, align="edge", color=_COLOUR)
    axis.set(title="confidence", xlabel="probability of the label", ylabel="files", xlim=(0, 1))


def _duration(axis: Any, totals: Totals) -> None:
    """Draw durations on a logarithmic axis, labelled in seconds."""
    from matplotlib.ticker import FuncFormatter

    lefts = [2 ** (bin_ / DURATION_BINS) for bin_ in totals.durations]
    widths = [left * (2 ** (0.9 / DURATION_BINS) - 1) for left in lefts]
    axis.bar(lefts, list(totals.durations.values()), width=widths, align="edge", color=_COLOUR)
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds:g}"))
    axis.set(title="duration", xlabel="seconds", ylabel="files")
