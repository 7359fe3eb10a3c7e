from __future__ import annotations

import re
from xml.dom.minidom import parseString

import pytest

from emotions.files.html.svg_plots import (
    MAX_POINTS,
    MAX_RANGES,
    Axes,
    Line,
    Range,
    bars,
    heat_map,
    lines,
    ranges,
    waterfall,
)

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


def test_names_of_narrow_columns_stand_upright() -> None:
    names = [f"a corpus with a long name {number}" for number in range(9)]
    wide, narrow = (heat_map("UAR", ("r", "c"), ["x"], names[:count], [[0.5] * count]) for count in (2, 9))
    assert (wide.count("rotate(-90)"), narrow.count("rotate(-90)")) == (0, 9)


def test_a_heat_map_is_darker_where_there_is_more_and_says_what_is_not_known() -> None:
    svg = heat_map("UAR", ("trained on", "tested on"), ["a & b", "c"], ["a & b", "c"], [[0.91, 0.4], [None, 1.0]])
    well_formed(svg)
    found = re.findall(r'<rect class="heat h(\d+)"[^>]*><title>([^<]+)<', svg)
    assert found == [("9", "a &amp; b, a &amp; b: 91.0"), ("4", "a &amp; b, c: 40.0"), ("10", "c, c: 100.0")]
    assert ">–</text>" in svg
    assert heat_map("t", ("r", "c"), [], ["x"], []) == ""


def test_nothing_gives_no_plot() -> None:
    assert lines("t", AXES, [Line("l", [])]) == waterfall("t", "ms", {}) == bars("t", "", {}) == ""


def test_one_point_alone_can_be_drawn() -> None:
    for log in (False, True):
        well_formed(lines("t", Axes("s", "ms", log=log, start=None), [Line("l", [(3, 7)], dots=True)]))


def test_a_value_stands_inside_its_interval_beside_the_mark() -> None:
    rows = [Range("a <b>", 0.5, (0.25, 0.75)), Range("x" * 99, 1.0)]
    svg = ranges("t", "UAR", rows, ("chance", 0.25))
    well_formed(svg)
    low, high = (float(each) for each in re.findall(r'range c0" d="M([\d.]+) \d+H([\d.]+)"', svg)[0])
    middle, _ = (float(each) for each in re.findall(r'<circle class="f0" cx="([\d.]+)"', svg))
    assert middle == pytest.approx((low + high) / 2, abs=0.2)
    assert f'dashed" d="M{low:.1f} ' in svg
    assert f"<title>{'x' * 99}</title>" in svg
    assert ranges("t", "UAR", []) == ""
    assert ranges("t", "UAR", [Range("a", 0.5)] * 999).count("<circle") == MAX_RANGES


def test_names_of_wide_letters_have_room_at_the_size_that_they_have_on_phones() -> None:
    name = "положительное"  # 118 pixels of DejaVu Sans at 14.5 pixels
    svg = ranges("t", "UAR", [Range(name, 0.5)])
    (end,) = re.findall(rf'<text x="([\d.]+)"[^>]*>[^<]*(?:<title>[^<]*</title>)?{name}', svg)
    assert float(end) > 118


def test_a_long_line_is_thinned_and_keeps_its_ends() -> None:
    svg = lines("t", AXES, [Line("l", [(float(x), 1.0) for x in range(10_001)])])
    points = coordinates(svg, "l")
    assert len(points) == MAX_POINTS
    assert points[-1][0] == pytest.approx(456)


def test_choices_stand_side_by_side_under_their_names() -> None:
    svg = lines(
        "t", Axes("size", "UAR", names=["small", "large"]), [Line("l", [(0, 0.1), (1, 0.2)], joined=False, dots=True)]
    )
    well_formed(svg)
    assert ">small</text>" in svg
    assert 'class="line c0" d="M58' not in svg
    assert svg.count('<path class="line') == 0


def test_epochs_are_whole_numbers() -> None:
    svg = lines("t", Axes("epoch", "loss", start=1.0, whole=True), [Line("l", [(1, 0.5), (2, 0.4)])])
    assert ">1.5</text>" not in svg
