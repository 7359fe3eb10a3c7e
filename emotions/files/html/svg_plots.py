"""Plots as SVG text, which need no plotting library: scales here, markup in ``templates/plots.svg`` beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from emotions.files.html.page import render

Point = tuple[float, float]
Scale = Callable[[float], float]
Bar = tuple[str, float, float, int]
"""Name, begin, end, number of a colour."""
_WIDTH, _HEIGHT = 480, 330
_BOX = {"left": 64, "right": 456, "top": 62, "bottom": 284}
"""What axes enclose, in pixels."""
_VALUES = 100
"""Pixels for what stands to the right of bars."""
_TICKS = 5
_MAX_NAME, _LETTER = 24, 8.4
"""Letters that have room beside a bar, and pixels of a wide one."""
_ON_PHONES = 14.5 / 12.5
"""How much larger letters are on a narrow screen, as the style has it."""
_MAX_UPRIGHT, _MIN_LEVEL = 16, 60
"""Letters of an upright name of a column, and pixels of a column whose name is cut instead."""
MAX_POINTS = 500
"""Points of a line: more are thinned out evenly."""
MAX_RANGES = 40
"""Rows of a plot of ranges."""
MAX_HEAT = 21
"""Rows, and columns, of a heat map."""


@dataclass(frozen=True)
class Line:
    """A named line through points: ``dashed`` for one that only guides the eye, ``dots`` to mark its points.

    ``joined`` is false where the points stand alone.
    """

    name: str
    points: Sequence[Point]
    dashed: bool = False
    dots: bool = False
    joined: bool = True


@dataclass(frozen=True)
class Axes:
    """Labels of a plot.

    Attributes:
        log: an upward axis in powers.
        start: where the axis to the right begins.
        whole: only whole numbers stand on the axis to the right.
        top: where the upward axis ends, at the least.
        names: what stands on the axis to the right in place of numbers, at 0, 1, and so on.
    """

    right: str
    up: str
    log: bool = False
    start: float | None = 0.0
    whole: bool = False
    top: float | None = None
    names: Sequence[str] = ()


@dataclass(frozen=True)
class Range:
    """A value with the interval that it lies in, or None where it is not known."""

    name: str
    value: float
    interval: tuple[float, float] | None = None


def lines(title: str, axes: Axes, drawn: Sequence[Line]) -> str:
    """Lines over two axes; empty without a point.

    Args:
        title: of the plot.
        axes: their labels and scales.
        drawn: the lines, in the order of the legend.
    """
    drawn = [replace(line, points=_thinned(line.points)) for line in drawn]
    points = [point for line in drawn for point in line.points]
    if not points:
        return ""
    right = [x for x, _ in points] + ([axes.start] if axes.start is not None else [])
    up = [y for _, y in points if not axes.log or y > 0] + ([axes.top] if axes.top is not None else [])
    x, x_ticks = _linear(min(right), max(right), _BOX["left"], _BOX["right"], least=1.0 if axes.whole else 0.0)
    if axes.names:
        x, _ = _linear(-0.5, len(axes.names) - 0.5, _BOX["left"], _BOX["right"], exact=True)
        x_ticks = [float(at) for at in range(len(axes.names))]
    scale = _logarithmic if axes.log else _linear
    y, y_ticks = scale(min(up) if axes.log else min(0.0, *up), max(up), _BOX["bottom"], _BOX["top"])
    ticks = {"x_ticks": x_ticks, "y_ticks": y_ticks}
    floor = min(up) if axes.log else -math.inf  # there is no logarithm of 0
    return _svg(title, _HEIGHT, box=_BOX, axes=axes, x=x, y=y, **ticks, floor=floor, drawn=drawn)


def ranges(title: str, unit: str, rows: Sequence[Range], mark: tuple[str, float] | None = None) -> str:
    """Values between 0 and 1 with their intervals, one below the other, at most ``MAX_RANGES``; empty without one.

    Args:
        title: of the plot.
        unit: of the values.
        rows: from top to bottom.
        mark: name and place of an upright line to compare with.
    """
    if not rows:
        return ""
    shown = rows[:MAX_RANGES]
    names = _beside([row.name for row in shown])
    x, ticks = _linear(0.0, 1.0, names, _WIDTH - 46)
    return _svg(title, 86 + 24 * len(shown), names=names, x=x, x_ticks=ticks, unit=unit, ranges=shown, mark=mark)


def heat_map(
    title: str,
    axes: tuple[str, str],
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float | None]],
) -> str:
    """Values between 0 and 1 as a grid of colours with their hundredths; empty without a row or a column.

    Args:
        title: of the plot.
        axes: what the rows are, and the columns.
        rows: their names, of more than ``MAX_HEAT`` the first.
        columns: their names, likewise.
        values: of each row and column; None where nothing was measured.
    """
    rows, columns = rows[:MAX_HEAT], columns[:MAX_HEAT]
    if not rows or not columns:
        return ""
    names = _beside([*rows, axes[0]])
    across, longest = (_WIDTH - 12 - names) / len(columns), min(_MAX_UPRIGHT, max(map(len, columns)))
    # Names that have no room side by side stand upright.
    rise = 0 if across >= _LETTER * longest or across >= _MIN_LEVEL else round(_LETTER * longest) - 12
    drawn = {"rows_of": rows, "columns": columns, "names": names, "across": across, "rise": max(0, rise)}
    return _svg(title, 84 + max(0, rise) + 30 * len(rows), heat=values, axes=axes, **drawn)


def waterfall(title: str, unit: str, parts: Mapping[str, float]) -> str:
    """Bars that begin where the last one ended, and their sum; empty without a part.

    Args:
        title: of the plot.
        unit: of the values.
        parts: name -> length, negative where it goes back.
    """
    rows, at = list[Bar](), 0.0
    for name, value in parts.items():
        rows.append((name, at, at + value, 1 if value < 0 else 0))
        at += value
    return _bars(title, unit, [*rows, ("all", 0.0, at, 2)] if rows else [])


def bars(title: str, unit: str, lengths: Mapping[str, float]) -> str:
    """A bar for each name; empty without one. Arguments as ``waterfall``."""
    return _bars(title, unit, [(name, 0.0, length, 0) for name, length in lengths.items()])


def _bars(title: str, unit: str, rows: Sequence[Bar]) -> str:
    if not rows:
        return ""
    ends = [end for _, *both, _ in rows for end in both]
    names = _beside([name for name, *_ in rows])
    x, _ = _linear(min(0.0, *ends), max(ends), names, _WIDTH - _VALUES, exact=True)
    return _svg(title, 42 + 26 * len(rows), names=names, x=x, rows=rows, unit=unit)


def _beside(names: Sequence[str]) -> int:
    """Pixels for names to the left of what they name."""
    return round(max(80.0, 16 + _ON_PHONES * _LETTER * min(_MAX_NAME, max(map(len, names)))))


def _thinned(points: Sequence[Point]) -> Sequence[Point]:
    """At most ``MAX_POINTS`` of the points, the first and the last among them."""
    last = len(points) - 1
    if last < MAX_POINTS:
        return points
    return [points[round(at * last / (MAX_POINTS - 1))] for at in range(MAX_POINTS)]


def _svg(title: str, height: int, **drawn: object) -> str:
    return render("plots.svg", title=title, width=_WIDTH, height=height, number=_number, short=_short, **drawn)


def _short(text: str, most: int = _MAX_NAME) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _linear(
    low: float, high: float, begin: float, end: float, *, exact: bool = False, least: float = 0.0
) -> tuple[Scale, list[float]]:
    """A scale from values to pixels, and round values to mark: the range is widened to them unless ``exact``."""
    least = max(least, (high - low or abs(high) or 1.0) / _TICKS)
    power = 10.0 ** math.floor(math.log10(least))
    step = next(power * times for times in (1, 2, 2.5, 5, 10) if power * times >= least * 0.999)
    if not exact:
        low, high = math.floor(low / step) * step, math.ceil(high / step - 1e-9) * step
    high = high if high > low else low + step
    ticks = [low + step * index for index in range(round((high - low) / step) + 1)]
    return lambda value: begin + (value - low) / (high - low) * (end - begin), ticks


def _logarithmic(low: float, high: float, begin: float, end: float) -> tuple[Scale, list[float]]:
    """As ``_linear``, by powers: marks at 1, 2 and 5 of each."""
    marks = [times * 10.0**power for power in range(-9, 10) for times in (1, 2, 5)]
    least = max(mark for mark in marks if mark <= low * 1.0001)
    most = min(mark for mark in marks if mark >= high * 0.9999 and mark > least)
    ticks = [mark for mark in marks if least <= mark <= most]
    ticks = ticks if len(ticks) <= 2 * _TICKS else [mark for mark in ticks if f"{mark:e}"[0] == "1"]
    span = math.log(most / least)
    return lambda value: begin + math.log(value / least) / span * (end - begin), ticks


def _number(value: float, digits: int = 4) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.{digits}g}"
