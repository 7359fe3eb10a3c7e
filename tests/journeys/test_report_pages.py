"""Every kind of report of small real runs, in a browser: phone to wide screen, light and dark, by the rules of axe."""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.chromium import Tab, launched, opened
from tests.conftest import BuildOnce
from tests.journeys.axe_rules import axe_script, grave
from tests.journeys.report_runs import make_reports
from tests.page_actions import fits

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2700)]  # the first test waits for all runs

KINDS = {
    "train": "recordings of a new speaker are right",
    "evaluate": "recordings of a new speaker are right",
    "tune": "is the best of 2",
    "suite": "changes of the sound",
    "benchmark": "times faster than it sounds",
    "raters": "recordings of a new speaker are right",
    "dimensions": "of a new speaker",
    "across": "of another corpus",
}
# A copy is read: browsers warn where one canvas is read again and again.
IS_DRAWN = """each => {
  const copy = new OffscreenCanvas(300, 50).getContext("2d", { willReadFrequently: true });
  if (each.width) copy.drawImage(each, 0, 0, 300, 50);
  return copy.getImageData(0, 0, 300, 50).data.some(Boolean);
}"""


@pytest.fixture(scope="module")
def reports(build_once: BuildOnce) -> Path:
    return build_once("report-pages", make_reports)


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    return axe_script(tmp_path_factory.mktemp("axe"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as found:
        yield found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_a_page_reads_on_every_screen_in_light_and_dark(
    kind: str, width: int, reports: Path, axe: str, browser: Browser
) -> None:
    papers = []
    for scheme in ("light", "dark"):
        with opened(browser, width=width, scheme=scheme) as tab:  # type: ignore[arg-type]
            page = shown(tab, reports, kind)
            if kept := os.environ.get("REPORT_PICTURES"):  # a folder, for whoever wants to look
                page.screenshot(path=Path(kept) / f"{kind}-{width}-{scheme}.png", full_page=True)
            assert fits(page), scheme
            assert tab.faults() == []
            papers.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
            assert grave(page, axe) == [], scheme
    assert len({*papers}) == 2


def shown(tab: Tab, reports: Path, kind: str) -> Page:
    tab.page.goto((reports / kind / "report.html").as_uri())
    return tab.page


def test_the_rules_and_the_measure_find_faults(axe: str, browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "bad.html").write_text("<title>x</title><img src='gone.png'><p style='width:9000px'>x</p>")
    with opened(browser, width=390) as tab:
        tab.page.goto((tmp_path / "bad.html").as_uri())
        assert not fits(tab.page)
        assert "gone.png" in "".join(tab.faults())
        assert "image-alt" in {each["id"] for each in grave(tab.page, axe)}


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_opens_with_its_conclusion_and_needs_nothing_else(kind: str, reports: Path, browser: Browser) -> None:
    content = (reports / kind / "report.html").read_text(encoding="utf-8")
    assert len(content) < 3_000_000
    assert content.count("<script") == (kind in ("evaluate", "raters"))  # draws what is played over time
    with opened(browser) as tab:
        page = shown(tab, reports, kind)
        assert KINDS[kind] in " ".join(page.locator(".lead").all_text_contents())
        headings = page.locator("h1, h2, h3").evaluate_all("every => every.map(each => +each.tagName[1])")
        assert headings[0] == 1
        assert all(after <= before + 1 for before, after in itertools.pairwise(headings))
        sources = "every => every.map(each => each.getAttribute('src') ?? each.getAttribute('href'))"
        others = page.locator("[src]:not(audio), [href]").evaluate_all(sources)
        assert [each for each in others if not each.startswith("data:")] == []
        heard = page.locator("audio").evaluate_all(
            "every => every.map(each => [each.getAttribute('src'), each.preload])"
        )
        assert all(not urlsplit(source).scheme and preload == "none" for source, preload in heard)
        expect(page.locator("table:not(:has(caption))")).to_have_count(0)
        assert tab.hosts() == []


@pytest.mark.parametrize("event", ["focus", "hover"])
def test_a_term_is_explained_where_it_stands(event: str, reports: Path, browser: Browser) -> None:
    with opened(browser, width=390) as tab:
        page = shown(tab, reports, "evaluate")
        term = page.locator(".term", has_text=re.compile("^UAR$")).first
        tip = "each => getComputedStyle(each, '::after').content"
        assert term.evaluate(tip) == "none"
        getattr(term, event)()
        assert "Unweighted average recall" in term.evaluate(tip)
        meaning = page.locator(f"[id='{term.get_attribute('aria-describedby')}']")
        expect(meaning).to_have_text(re.compile("^Unweighted average recall"))
        assert fits(page)


def test_a_named_recording_can_be_played(reports: Path, browser: Browser) -> None:
    with opened(browser) as tab:
        player = shown(tab, reports, "evaluate").locator("audio").first
        ready = "new Promise((done, failed) => Object.assign(a, {oncanplay: done, onerror: failed, preload: 'auto'}))"
        assert player.evaluate(f"async a => {{ await {ready}; return a.duration }}") > 0.3


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_drawn_over_time_and_a_click_plays_from_there(
    reports: Path, browser: Browser, scheme: Literal["light", "dark"]
) -> None:
    with opened(browser, scheme=scheme) as tab:
        page = shown(tab, reports, "evaluate")
        heard = page.locator("td:has(canvas)").first
        strip, player = heard.locator("canvas"), heard.locator("audio").element_handle()
        steps = json.loads(strip.get_attribute("data-steps") or "")
        assert len(steps) > 1
        assert all(sum(shares) == pytest.approx(1, abs=1e-3) for _, _, *shares in steps)
        page.wait_for_function(IS_DRAWN, arg=strip.element_handle())  # once the page is laid out
        assert len(colours_of(strip) & {*legend_of(page)}) >= 2
        strip.click()  # in its middle
        middle = steps[-1][1] / 2
        page.wait_for_function("audio => audio.played.length > 0", arg=player)
        assert player.evaluate("audio => audio.currentTime") >= 0.99 * middle
        assert tab.faults() == []


def legend_of(page: Page) -> list[str]:
    squares = "every => every.map(each => getComputedStyle(each).backgroundColor)"
    return [str(each) for each in page.locator(".legend .square").evaluate_all(squares)]


def colours_of(strip: Locator) -> set[str]:
    """The colours that are drawn, as CSS writes them."""
    pixels = """each => {
      const { data } = each.getContext("2d").getImageData(0, 0, each.width, each.height);
      const found = new Set();
      for (let at = 0; at < data.length; at += 4) found.add(`rgb(${data.slice(at, at + 3).join(", ")})`);
      return [...found];
    }"""
    return {*strip.evaluate(pixels)}


@pytest.mark.parametrize("kind", KINDS)
def test_on_paper_it_is_light_and_nothing_is_cut_off(kind: str, reports: Path, browser: Browser) -> None:
    with opened(browser, width=720, scheme="dark") as tab:
        page = shown(tab, reports, kind)
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--paper')").strip() == "#fff"
        assert fits(page)
        assert len(page.pdf(prefer_css_page_size=True)) > 10_000
