from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from praatio import textgrid as praat

from emotions.calls.formats.annotation import Annotation
from emotions.calls.formats.textgrid import read_textgrid, textgrid
from emotions.errors import DataError
from tests.emotions.calls.formats.conftest import annotations, told

SHORT = 'File type = "ooTextFile"\n"TextGrid"\n\n0\n2.5\n<exists>\n{}\n'


def by_praatio(text: str) -> praat.Textgrid:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "call.TextGrid"
        path.write_text(text, encoding="utf-8")
        return praat.openTextgrid(str(path), includeEmptyIntervals=False, reportingMode="error")


def test_praatio_reads_what_is_written(annotation: Annotation) -> None:
    grid = by_praatio(textgrid(annotation))
    assert grid.maxTimestamp == pytest.approx(12.345679)
    found = [(name, [tuple(entry) for entry in grid.getTier(name).entries]) for name in grid.tierNames]
    for (name, entries), tier in zip(found, annotation.tiers, strict=True):
        assert name.replace('""', '"') == tier.name
        assert [(start, end) for start, end, _ in entries] == [
            (round(each.start, 6), round(each.end, 6)) for each in tier.intervals
        ]
        assert [label.replace('""', '"') for *_, label in entries] == [each.label for each in tier.intervals]


@given(annotations())
def test_what_is_written_is_read(annotation: Annotation) -> None:
    expected = told(annotation)
    for tier in expected:
        tier[1][:] = [each for each in tier[1] if each[2].strip()]
    assert told(read_textgrid(textgrid(annotation), "call")) == expected


def test_the_short_format_and_points_are_read() -> None:
    points = '"TextTier"\n"clicks"\n0\n2.5\n1\n1.25\n"click"'
    tiers = f'2\n{points}\n"IntervalTier"\n"rater ""A"""\n0\n2.5\n2\n0\n1\n"sad"\n1\n2.5\n""'
    assert told(read_textgrid(SHORT.format(tiers), "x")) == [('rater "A"', [(0, 1, "sad")])]
    assert read_textgrid('"ooTextFile" "TextGrid" 0 1 <absent>', "x").tiers == ()


def test_comments_and_what_does_not_stand_free_are_passed_over() -> None:
    text = SHORT.format('1 ! one tier, "not a text"\nitem [7]: class = "IntervalTier" name = "a" 0 2.5 1 0 2.5 "b"')
    assert told(read_textgrid(text, "x")) == [("a", [(0, 2.5, "b")])]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "text",
        SHORT.format(9**9),
        SHORT.format('1\n"IntervalTier"\n"a"\n0\n1\n999999999\n0\n1\n"x"'),
        '"ooTextFile" "Pitch"',
        SHORT.format('1 "Tier" "a" 0 1 0'),
        SHORT.format('"IntervalTier"'),
        SHORT.format("1e999"),
        '"' * 9_999,
    ],
)
def test_what_is_no_textgrid_is_refused(text: str) -> None:
    with pytest.raises(DataError, match=r"^x: is not a TextGrid that can be read"):
        read_textgrid(text, "x")


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read_textgrid(SHORT.format(text), "x")
    except DataError:
        return
