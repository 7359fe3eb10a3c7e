"""The table of recordings in a real browser, without a service: answers are put to their places, not all drawn anew."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from emotions.files.html.one_script import STRIP
from serving.http.page.static_site import to_web
from tests.chromium import launched, opened
from tests.page_actions import faults, rows
from tests.static_files import served

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

FILES = Path(to_web.__file__).parents[1] / "files"
LINES = 1000
"""Rows of the table that are drawn at most."""
SHELL = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title></title><link rel="icon" href="data:,"></head><body>
<select id="language"></select><input id="filter"><button id="csv"></button><button id="json"></button>
<table id="table"></table>
<script type="module">
import { startLanguage } from "./page/text.js";
import { addRows, drawTable, startTable } from "./page/table.js";
await startLanguage(document.getElementById("language"), drawTable);
startTable({ targets: { emotion: ["a", "b"] } });
const row = ({ name, confidence: a, note }) => ({ name, error: note || undefined, answer: note ? {} : {
  label: "a", confidence: a, duration_sec: 1, probabilities: { emotion: { a, b: 1 - a } },
} });
window.add = (some) => addRows(some.map(row));
window.made = 0;
const make = document.createElement.bind(document);
document.createElement = (name) => { window.made += 1; return make(name); };
document.body.dataset.ready = "1";
</script></body></html>"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as found:
        yield found


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    shutil.copytree(FILES, tmp_path / "page")
    shutil.copyfile(STRIP, tmp_path / "page" / STRIP.name)
    (tmp_path / "index.html").write_text(SHELL, encoding="utf-8")
    with served(tmp_path) as url, opened(browser) as tab:
        tab.page.goto(url)
        expect(tab.page.locator("body[data-ready='1']")).to_be_attached(timeout=30_000)
        yield tab.page
        assert faults(tab) == []


def answers(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Answers in a random order of confidence, of which some are equal."""
    source = random.Random(seed)
    return [{"name": f"clip_{number:04}.wav", "confidence": source.randrange(900) / 1000} for number in range(count)]


def add(page: Page, some: list[dict[str, Any]]) -> int:
    """Add answers one at a time; how many elements were made for that."""
    return int(page.evaluate("some => { made = 0; for (const each of some) add([each]); return made; }", some))


def names(page: Page) -> list[str]:
    return [row[0] for row in rows(page)]


def heading(page: Page, column: str) -> None:
    page.click(f"#table th.{column} button")


@pytest.mark.parametrize("order", ["", "file", "confidence"])
def test_two_thousand_answers_cost_as_many_times_what_one_costs(page: Page, order: str) -> None:
    some = answers(2000)
    add(page, some[:1])
    if order:
        heading(page, order)
    first = add(page, some[1:101]) / 100
    rest = add(page, some[101:]) / 1900
    assert 0 < first < 12
    assert rest <= first
    assert len(names(page)) == LINES
    expect(page.locator("#table caption")).to_contain_text("1000 of 2000")


def test_answers_go_to_their_places_in_the_order_and_by_the_filter_that_are_set(page: Page) -> None:
    some = answers(1500)
    add(page, some[:40])
    page.fill("#filter", "CLIP_")
    heading(page, "confidence")
    heading(page, "confidence")  # the largest first
    add(page, some[40:])
    expected = [each["name"] for each in sorted(some, key=lambda each: -each["confidence"])]
    assert names(page) == expected[:LINES]
    page.fill("#filter", "5.wav")
    add(page, [{"name": "later_5.wav", "confidence": 2}, {"name": "later_6.wav", "confidence": 2}])
    assert names(page) == ["later_5.wav", *(name for name in expected if name.endswith("5.wav"))]
    page.fill("#filter", "")
    assert names(page) == ["later_5.wav", "later_6.wav", *expected][:LINES]


def test_a_note_brings_its_column_and_is_found_by_the_filter(page: Page) -> None:
    add(page, answers(3))
    assert all(len(row) == 4 for row in rows(page))
    add(page, [{"name": "bad.wav", "note": "is empty"}, {"name": "worse.wav", "note": "is no audio"}])
    assert [row[-1] for row in rows(page)] == ["", "", "", "is empty", "is no audio"]
    page.fill("#filter", "EMPTY")
    assert names(page) == ["bad.wav"]


def test_whoever_is_at_a_row_or_at_a_heading_stays_there(page: Page) -> None:
    add(page, answers(5))
    page.focus("#table th.confidence button")
    page.keyboard.press("Enter")
    expect(page.locator("#table th.confidence button")).to_be_focused()
    expect(page.locator("#table th.confidence")).to_have_attribute("aria-sort", "ascending")
    row = page.locator("#table tbody tr:nth-child(2) button")
    title = row.get_attribute("title")
    row.focus()
    add(page, answers(20, seed=1))
    assert page.evaluate("document.activeElement.title") == title
