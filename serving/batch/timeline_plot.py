"""A picture of a recording over time: its waveform, and the probabilities of its labels below."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from emotions.audio.windows import FloatArray
from emotions.bundle.targets import Range
from emotions.errors import plain
from emotions.files.atomic import atomic_file
from serving.batch.timeline import Timeline

_MOST_LABELS = 8
_SPEECH_COLOUR = "#6b7785"
_MINUTE_SEC = 120.0


def plot_timeline(path: Path, name: str, found: Timeline, ranges: Mapping[str, Range] | None = None) -> None:
    """Draw a panel with the waveform, and one for each target with a line a label or dimension, over time.

    Args:
        path: the PNG file.
        name: of the recording.
        found: its pieces.
        ranges: of the targets of dimensions.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = 1 + len(found.probabilities) + len(found.values)
    figure = Figure(figsize=(11, 1.6 + 2.6 * (rows - 1)), layout="constrained")
    FigureCanvasAgg(figure)
    heights = [1.0, *[2.2] * (rows - 1)]
    axes = figure.subplots(rows, 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    scale, unit = (60.0, "minutes") if found.duration_sec > _MINUTE_SEC else (1.0, "seconds")
    times = (np.arange(len(found.level)) + 0.5) * found.duration_sec / len(found.level) / scale
    axes[0].fill_between(times, -found.level, found.level, color=_SPEECH_COLOUR, linewidth=0)
    axes[0].set(ylim=(-1, 1), yticks=[], ylabel="waveform")
    axes[0].set_title(plain(name).replace("$", r"\$")[-80:], loc="left", fontsize=10)
    for axis, (target, scores) in zip(axes[1:], found.probabilities.items(), strict=False):
        _target(axis, times, target, scores)
    for axis, (target, values) in zip(axes[1 + len(found.probabilities) :], found.values.items(), strict=True):
        _dimensions(axis, times, target, values, (ranges or {}).get(target))
    axes[-1].set(xlabel=unit, xlim=(0, found.duration_sec / scale))
    with atomic_file(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")


def _target(axis: Any, times: npt.NDArray[Any], target: str, scores: Mapping[str, FloatArray]) -> None:
    """The probabilities of a target's likeliest labels; the likeliest one at each time is filled."""
    likeliest = sorted(scores, key=lambda label: float(-np.nanmean(scores[label])))[:_MOST_LABELS]
    highest = np.max([scores[label] for label in scores], axis=0)
    for label in likeliest:
        (line,) = axis.plot(times, scores[label], linewidth=1.4, label=plain(label).replace("$", r"\$")[:24])
        axis.fill_between(times, 0, scores[label], where=scores[label] >= highest, alpha=0.18, color=line.get_color())
    axis.set(ylim=(0, 1), ylabel=f"{plain(target)[:24]}, probability".replace("$", r"\$"))
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9)


def _dimensions(
    axis: Any, times: npt.NDArray[Any], target: str, values: Mapping[str, FloatArray], bounds: Range | None
) -> None:
    """The values of a target's dimensions, on at least its range."""
    for name in [*values][:_MOST_LABELS]:
        axis.plot(times, values[name], linewidth=1.4, label=plain(name).replace("$", r"\$")[:24])
    if bounds is not None:
        every = np.array([*values.values()])
        axis.set_ylim(min(bounds[0], float(np.nanmin(every))), max(bounds[1], float(np.nanmax(every))))
    axis.set(ylabel=plain(target)[:24].replace("$", r"\$"))
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9)
