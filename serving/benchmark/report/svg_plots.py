"""Plots as SVG text, drawn here so that a report needs neither a plotting library nor the network.

Colours come from the page's style sheet, by class, so that they follow its light and dark form.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

Point = tuple[float, float]
_WIDTH, _HEIGHT = 640, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 52, 46
_COLOURS = 6
_TICKS = 5
_BAR = 26
_BARS_TOP = 30
_LETTER = 6.2
"""Pixels of a letter, about."""
_NAMES, _VALUES = 190, 90


@dataclass(frozen=True)
class Line:
    """A named line through points; ``dashed`` for one that only guides the eye, ``dots`` to mark its points."""

    name: str
    points: Sequence[Point]
    dashed: bool = False
    dots: bool = False


@dataclass(frozen=True)
class Axes:
    """Labels of a plot; ``log`` for an upward axis in powers, ``start`` where the axis to the right begins."""

    right: str
    up: str
    log: bool = False
    start: float | None = 0.0


def lines(title: str, axes: Axes, drawn: Sequence[Line]) -> str:
    """Lines over two axes; empty without a point.

    Args:
        title: of the plot.
        axes: their labels and scales.
        drawn: the lines, in the order of the legend.
    """
    points = [point for line in drawn for point in line.points]
    if not points:
        return ""
    right = [x for x, _ in points] + ([axes.start] if axes.start is not None else [])
    up = [y for _, y in points if not axes.log or y > 0]
    x, x_ticks = _linear(min(right), max(right), _LEFT, _WIDTH - _RIGHT)
    scale = _logarithmic if axes.log else _linear
    y, y_ticks = scale(min(up) if axes.log else 0.0, max(up), _HEIGHT - _BOTTOM, _TOP)
    parts = [_frame(axes, x, x_ticks, y, y_ticks)]
    for at, line in enumerate(drawn):
        parts.append(_line(line, at, [(x(a), y(max(b, min(up)) if axes.log else b)) for a, b in line.points]))
    return _svg(title, _HEIGHT, [*parts, _legend(drawn)])


def waterfall(title: str, unit: str, parts: Mapping[str, float]) -> str:
    """Bars that begin where the last one ended, and their sum; empty without a part.

    Args:
        title: of the plot.
        unit: of the values.
        parts: name -> length, negative where it goes back.
    """
    if not parts:
        return ""
    rows, at = list[_Bar](), 0.0
    for name, value in parts.items():
        rows.append(_Bar(name, at, at + value, 1 if value < 0 else 0))
        at += value
    return _bars(title, unit, [*rows, _Bar("all", 0.0, at, 2)])


def bars(title: str, unit: str, lengths: Mapping[str, float]) -> str:
    """A bar for each name; empty without one.

    Args:
        title: of the plot.
        unit: of the values.
        lengths: name -> length.
    """
    return _bars(title, unit, [_Bar(name, 0.0, length, 0) for name, length in lengths.items()]) if lengths else ""


@dataclass(frozen=True)
class _Bar:
    name: str
    begin: float
    end: float
    colour: int


def _bars(title: str, unit: str, rows: Sequence[_Bar]) -> str:
    ends = [end for row in rows for end in (row.begin, row.end)]
    low, high = min(0.0, *ends), max(ends)
    x, _ = _linear(low, high, _NAMES, _WIDTH - _VALUES, exact=True)
    drawn = []
    for at, row in enumerate(rows):
        top, (left, right) = _BARS_TOP + at * _BAR, sorted((x(row.begin), x(row.end)))
        drawn.append(
            f'<rect class="f{row.colour}" x="{left:.1f}" y="{top + 4}" width="{max(1.0, right - left):.1f}" '
            f'height="{_BAR - 8}"/>'
        )
        drawn.append(_text(_NAMES - 8, top + _BAR / 2 + 4, row.name, "end"))
        drawn.append(_text(right + 6, top + _BAR / 2 + 4, f"{_number(row.end - row.begin, 3)} {unit}", "start"))
    return _svg(title, _BARS_TOP + _BAR * len(rows) + 12, drawn)


def _svg(title: str, height: float, parts: Sequence[str]) -> str:
    head = f'<svg viewBox="0 0 {_WIDTH} {height:g}" role="img" aria-label="{escape(title)}">'
    return f'{head}<text class="title" x="{_LEFT - 48}" y="18">{escape(title)}</text>{"".join(parts)}</svg>'


Scale = Callable[[float], float]


def _linear(low: float, high: float, begin: float, end: float, *, exact: bool = False) -> tuple[Scale, list[float]]:
    """A scale from values to pixels, and round values to mark: the range is widened to them unless ``exact``."""
    step = _round_step((high - low or abs(high) or 1.0) / _TICKS)
    if not exact:
        low, high = math.floor(low / step) * step, math.ceil(high / step - 1e-9) * step
    high = high if high > low else low + step
    ticks = [low + step * index for index in range(round((high - low) / step) + 1)]
    return lambda value: begin + (value - low) / (high - low) * (end - begin), ticks


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * times for times in (1, 2, 2.5, 5, 10) if power * times >= step * 0.999)


def _logarithmic(low: float, high: float, begin: float, end: float) -> tuple[Scale, list[float]]:
    """As ``_linear``, by powers: marks at 1, 2 and 5 of each."""
    marks = [times * 10.0**power for power in range(-9, 10) for times in (1, 2, 5)]
    least = max(mark for mark in marks if mark <= low * 1.0001)
    most = min(mark for mark in marks if mark >= high * 0.9999 and mark > least)
    ticks = [mark for mark in marks if least <= mark <= most]
    ticks = ticks if len(ticks) <= 2 * _TICKS else [mark for mark in ticks if f"{mark:e}"[0] == "1"]
    span = math.log(most / least)
    return lambda value: begin + math.log(value / least) / span * (end - begin), ticks


def _frame(axes: Axes, x: Scale, x_ticks: Sequence[float], y: Scale, y_ticks: Sequence[float]) -> str:
    low, far = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    parts = [f'<path class="axis" d="M{_LEFT} {_TOP}V{low}H{far}"/>']
    for tick in y_ticks:
        parts.append(f'<path class="grid" d="M{_LEFT} {y(tick):.1f}H{far}"/>')
        parts.append(_text(_LEFT - 8, y(tick) + 4, _number(tick), "end"))
    for tick in x_ticks:
        at = x(tick)
        parts.append(f'<path class="grid" d="M{at:.1f} {_TOP}V{low}"/>')
        parts.append(_text(at, low + 16, _number(tick), "middle"))
    middle = (_TOP + low) / 2
    parts.append(_text((_LEFT + far) / 2, _HEIGHT - 8, axes.right, "middle"))
    turned = (
        f'<text x="16" y="{middle}" text-anchor="middle" transform="rotate(-90 16 {middle})">{escape(axes.up)}</text>'
    )
    return "".join([*parts, turned])


def _line(line: Line, at: int, points: Sequence[Point]) -> str:
    colour = at % _COLOURS
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    dash = " dashed" if line.dashed else ""
    drawn = f'<path class="line c{colour}{dash}" d="M{path}"><title>{escape(line.name)}</title></path>' if path else ""
    marked = zip(points, line.points, strict=True) if line.dots else ()
    dots = [
        f'<circle class="f{colour}" cx="{x:.1f}" cy="{y:.1f}" r="3.5">'
        f"<title>{escape(line.name)}: {_number(a)}, {_number(b)}</title></circle>"
        for (x, y), (a, b) in marked
    ]
    return drawn + "".join(dots)


def _legend(drawn: Sequence[Line]) -> str:
    parts, left = list[str](), float(_LEFT)
    for at, line in enumerate(drawn):
        dash = " dashed" if line.dashed else ""
        parts.append(f'<path class="line c{at % _COLOURS}{dash}" d="M{left:.0f} 36h16"/>')
        parts.append(_text(left + 22, 40, line.name, "start"))
        left += 46 + _LETTER * len(line.name)
    return "".join(parts)


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _number(value: float, digits: int = 4) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.{digits}g}"
