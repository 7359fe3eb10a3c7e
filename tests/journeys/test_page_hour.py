"""An hour's recording on the page, a window each half second, a name of 64 kB: drawn at once, scrolled smoothly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.chromium import launched, opened
from tests.page_actions import picture, played_to, shown
from tests.servers import running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

WINDOWS = 7_200
HOUR = """(async () => {
  const rate = 16000, samples = 3600 * rate, sound = new Int16Array(samples), head = new DataView(new ArrayBuffer(44));
  for (let at = 0; at < samples; at += 1) sound[at] = 9000 * Math.sin(at / 9) * Math.sin(at / 9e5);
  const write = (at, text) => [...text].forEach((each, place) => head.setUint8(at + place, each.charCodeAt(0)));
  write(0, "RIFF"); write(8, "WAVEfmt "); write(36, "data");
  head.setUint32(4, 36 + 2 * samples, true); head.setUint32(16, 16, true); head.setUint16(20, 1, true);
  head.setUint16(22, 1, true); head.setUint32(24, rate, true); head.setUint32(28, 2 * rate, true);
  head.setUint16(32, 2, true); head.setUint16(34, 16, true); head.setUint32(40, 2 * samples, true);
  const windows = Array.from({ length: %d }, (_, at) => {
    const [angry, happy] = [0.8 * Math.abs(Math.sin(at / 50)), 0.2];
    const emotion = { angry, happy, sad: 1 - angry - happy };
    return { start: at / 2, end: (at + 1) / 2, probabilities: { emotion } };
  });
  const { probabilities } = windows[9];
  const answer = { label: "angry", confidence: 0.5, probabilities, windows, duration_sec: 3600 };
  window.hour = { file: new File([head, sound], "hour.wav"), name: "<img src=x>\\u202e" + "😀".repeat(16384), answer };
  document.getElementById("results").hidden = false;
})()"""
DRAW = """(async () => {
  const { showRecording } = await import("/page/wave.js");
  const began = performance.now();
  await showRecording(window.hour, { dimensions: {} });
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  return performance.now() - began;
})()"""
SCROLL = """(async () => {
  const zoom = document.getElementById("zoom");
  zoom.value = 60;
  zoom.dispatchEvent(new Event("input"));
  const box = document.querySelector("#wave div").shadowRoot.querySelector(".scroll");
  let last = performance.now();
  const frames = [];
  for (let at = 0; at < 120; at += 1) {
    box.scrollLeft += 60;
    await new Promise(requestAnimationFrame);
    frames.push(performance.now() - last);
    last = performance.now();
  }
  return { median: frames.sort((a, b) => a - b)[60], wide: box.scrollWidth / box.clientWidth, moved: box.scrollLeft };
})()"""


@pytest.fixture(scope="module")
def page(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("server")
    with running(folder, EMOTIONS_BUNDLE=str(tiny_bundle)) as server, launched() as browser, opened(browser) as tab:
        shown(tab.page, server.url)
        tab.page.evaluate(HOUR % WINDOWS)
        yield tab.page


def computed(page: Page, script: str) -> tuple[Any, float]:
    """The value of a script, and seconds that the page's thread computed, whoever else needs the machine."""
    session = page.context.new_cdp_session(page)  # Playwright has no words for it
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def spent() -> float:
        metrics = session.send("Performance.getMetrics")["metrics"]
        return float(next(each["value"] for each in metrics if each["name"] == "TaskDuration"))

    before = spent()
    return page.evaluate(script), spent() - before


def test_an_hour_is_drawn_at_once_and_scrolls(page: Page) -> None:
    waited, drawing = computed(page, DRAW)
    frames, scrolling = computed(page, SCROLL)
    print(
        f"drawn in {waited / 1000:.2f} s, computed {drawing:.2f} s; 120 frames of scrolling computed {scrolling:.2f} s"
    )
    picture(page, "hour")
    assert drawing < 2
    assert scrolling / 120 < 1 / 60
    assert frames["wide"] > 5
    assert frames["moved"] > 1_000


def test_its_windows_are_paged(page: Page) -> None:
    page.evaluate(DRAW)
    expect(page.locator("#parts tbody tr")).to_have_count(100)
    page.click("#parts p button:last-child")
    expect(page.locator("#parts tbody tr:first-child td:first-child")).to_have_text("50.00")
    expect(page.locator("#parts")).to_contain_text(f"101 to 200 of {WINDOWS}")


def test_a_name_of_64_kb_is_cut_and_all_of_it_is_there(page: Page) -> None:
    page.evaluate(DRAW)
    title = page.locator("#detail-title")
    whole = title.locator("p").evaluate("each => each.textContent.length")
    assert whole == len("<img src=x>") + 1 + 2 * 16_384  # a smiling face is two of JavaScript's characters
    assert "\u202e" not in (title.text_content() or "")
    summary = title.locator("summary").text_content() or ""
    assert summary.startswith("<img src=x>\ufffd😀")
    assert len(summary) < 130
    expect(page.locator("img")).to_have_count(0)


def test_a_click_below_the_waveform_seeks(page: Page) -> None:
    page.evaluate(DRAW)
    page.click("#strip")  # in its middle
    played_to(page, 400)
