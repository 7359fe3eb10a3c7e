"""The page of a folder run in a real browser, opened from the disk: names are text, recordings are played."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import expect

from emotions.inputs.input_file import InputFile
from serving.batch.options import Options
from serving.batch.page import report_page
from serving.batch.predict import predict_to_table
from tests.chromium import launched, opened
from tests.conftest import WriteWav, make_tiny_bundle
from tests.page_actions import drawn, picture, played_to, shown

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

LABELS = ["<img src=x onerror=alert(1)>", "\x1b[31mred", "\u202egnp 😀"]
NAME = "<img src=x onerror=alert(1)> \x1b[31m\u202egnp 😀.wav"


def test_it_shows_hostile_names_as_text_and_plays(
    tmp_path: Path, write_wav: WriteWav, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = make_tiny_bundle(tmp_path / "bundle", targets={"emotion": LABELS})
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, 48_000).astype(np.float32)
    write_wav(tmp_path / "in" / NAME, sound)
    row = report_page._row

    def named(file: InputFile, *given: Any) -> dict[str, Any]:
        return {**row(file, *given), **({"name": "<b>" + "x" * 65_533} if file.name == "b.wav" else {})}

    monkeypatch.setattr(report_page, "_row", named)  # a list may name so, a file system does not
    write_wav(tmp_path / "in" / "b.wav", sound)
    options = Options(page=tmp_path / "out.html", quiet=True)
    predict_to_table([tmp_path / "in"], bundle, tmp_path / "t.csv", options)
    with launched() as browser, opened(browser) as tab:
        page = shown(tab.page, (tmp_path / "out.html").as_uri())
        titles = page.locator("#table tbody button").evaluate_all("every => every.map(each => each.title)")
        assert sorted(map(len, titles)) == [len(NAME), 65_536]
        assert all(len(name) <= 120 for name in page.locator("#table tbody button").all_text_contents())
        page.click("#table tbody tr:nth-child(1) button")
        drawn(page)
        bars = page.locator("#detail-bars .bar span:first-child")
        assert bars.all_text_contents() == [LABELS[0], "\ufffd[31mred", "\ufffdgnp 😀"]
        assert "\u202e" not in (page.text_content("#detail-title") or "")
        page.click("#parts tbody tr:nth-child(4) button")
        played_to(page, 500)
        picture(page, "folder-page")
        expect(page.locator("img, b")).to_have_count(0)
        assert tab.faults() == []
        assert tab.hosts() == []
