from __future__ import annotations

import re
from xml.dom.minidom import parseString

import pytest

from emotions.html.svg_plots import Axes, Line, bars, lines, waterfall

AXES = Axes("s", "ms")


def well_formed(svg: str) -> None:
    parseString(svg)  # noqa: S318  # our own text


def coordinates(svg: str, name: str) -> list[tuple[float, float]]:
    found = re.search(rf'd="M([^"]+)"><title>{name}<', svg)
    assert found
    return [(float(x), float(y)) for x, y in (pair.split() for pair in found.group(1).split("L"))]


def test_a_line_goes_through_its_points() -> None:
    svg = lines("a <b>", AXES, [Line("up & away", [(0, 0), (5, 50), (10, 100)])])
    well_formed(svg)
    (x0, y0), (x1, y1), (x2, y2) = coordinates(svg, "up &amp; away")
    assert x1 - x0 == pytest.approx(x2 - x1)
    assert y0 - y1 == pytest.approx(y1 - y2)
    assert y0 > y2  # upwards
    assert ">100</text>" in svg
    assert "a &lt;b&gt;" in svg


def test_powers_are_evenly_spaced_on_a_logarithmic_axis() -> None:
    svg = lines("t", Axes("s", "ms", log=True), [Line("l", [(0, 1), (1, 10), (2, 100)])])
    ys = [y for _, y in coordinates(svg, "l")]
    assert ys[0] - ys[1] == pytest.approx(ys[1] - ys[2], abs=0.2)


def test_bars_of_a_waterfall_begin_where_the_last_one_ended() -> None:
    svg = waterfall("t", "ms", {"decode": 2.0, "model": 5.0, "side by side": -1.0})
    well_formed(svg)
    found = [
        (float(x), float(w)) for x, w in re.findall(r'<rect class="f\d" x="([\d.]+)" y="\d+" width="([\d.]+)"', svg)
    ]
    (decode, model, rest, whole) = found
    assert decode[0] + decode[1] == pytest.approx(model[0], abs=0.2)
    assert rest[0] + rest[1] == pytest.approx(model[0] + model[1], abs=0.2)
    assert whole[1] == pytest.approx(rest[0] - decode[0], abs=0.2)
    assert ">-1 ms</text>" in svg


def test_bars_are_as_long_as_their_values() -> None:
    wide = [float(each) for each in re.findall(r'width="([\d.]+)"', bars("t", "clips/s", {"a": 5, "b": 10}))]
    assert wide[1] == pytest.approx(2 * wide[0], abs=0.2)


def test_nothing_gives_no_plot() -> None:
    assert lines("t", AXES, [Line("l", [])]) == waterfall("t", "ms", {}) == bars("t", "", {}) == ""


def test_one_point_alone_can_be_drawn() -> None:
    for log in (False, True):
        well_formed(lines("t", Axes("s", "ms", log=log, start=None), [Line("l", [(3, 7)], dots=True)]))
