"""What a person does on the page of the service, of a static site or of a folder run, in Playwright's words."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from playwright.sync_api import Page, expect

from tests.chromium import Tab


def shown(page: Page, url: str, seconds: float = 30) -> Page:
    """Open the page and wait until it is ready; a static site loads itself anew once, to be isolated from others."""
    page.goto(url, wait_until="commit")
    expect(page.locator("body[data-ready='1']")).to_be_attached(timeout=1000 * seconds)
    return page


def faults(tab: Tab) -> list[str]:
    """What the console complained about, apart from Chromium's own line of each request that is refused."""
    return [each for each in tab.faults() if "responded with a status of 4" not in each]


def drawn(page: Page) -> None:
    """Wait until the waveform is there."""
    expect(page.locator("#wave[data-ready='1']")).to_be_attached(timeout=30_000)


def played_to(page: Page, pixels: int) -> None:
    """Wait until playback stands behind a place of the waveform."""
    cursor = page.locator("#wave [part=cursor]").element_handle()
    page.wait_for_function("([cursor, pixels]) => cursor.offsetLeft > pixels", arg=[cursor, pixels])


def choose(page: Page, files: Sequence[Path]) -> None:
    """Choose files, as in the dialogue."""
    page.set_input_files("#files", files)


def listed(page: Page, count: int, seconds: float = 30) -> None:
    """Wait for so many rows."""
    expect(page.locator("#table tbody tr")).to_have_count(count, timeout=1000 * seconds)


def rows(page: Page) -> list[list[str]]:
    """The cells of the table."""
    cells = "every => every.map(row => [...row.cells].map(each => each.textContent))"
    return [list(row) for row in page.locator("#table tbody tr").evaluate_all(cells)]


def picture(page: Page, name: str) -> None:
    """Take a picture of all of the page into the folder ``PAGE_PICTURES``, for whoever wants to look."""
    if kept := os.environ.get("PAGE_PICTURES"):
        page.screenshot(path=Path(kept) / f"{name}.png", full_page=True)


def fits(page: Page) -> bool:
    """Whether nothing is wider than the screen."""
    return bool(page.evaluate("document.scrollingElement.scrollWidth <= innerWidth"))


def tone(path: Path, seconds: float = 1.0, channels: int = 1, rate: int = 16_000) -> Path:
    """Write noise."""
    random = np.random.default_rng(len(path.name))
    soundfile.write(path, 0.2 * random.normal(size=(int(seconds * rate), channels)).clip(-3, 3), rate)
    return path
