"""The page of a folder run in a real browser, opened from the disk: names are text, recordings are played."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emotions.inputs.input_file import InputFile
from serving.batch.options import Options
from serving.batch.page import report_page
from serving.batch.predict import predict_to_table
from tests.chromium import CHROMIUM, opened
from tests.conftest import WriteWav, make_tiny_bundle, needs
from tests.journeys.test_page import click, picture, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

LABELS = ["<img src=x onerror=alert(1)>", "\x1b[31mred", "\u202egnp 😀"]
NAME = "<img src=x onerror=alert(1)> \x1b[31m\u202egnp 😀.wav"


def test_it_shows_hostile_names_as_text_and_plays(
    tmp_path: Path, write_wav: WriteWav, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs(bool(CHROMIUM), "Chromium is needed as a command")
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
    with opened() as page:
        page.open((tmp_path / "out.html").as_uri(), width=1280, scheme="light")
        until(page, "document.body.dataset.ready === '1'")
        names = page.value(
            "[...document.querySelectorAll('#table tbody button')].map(each => [each.textContent, each.title])"
        )
        assert sorted(len(title) for _, title in names) == [len(NAME), 65_536]
        assert all(len(shown) <= 120 for shown, _ in names)
        click(page, "#table tbody tr:nth-child(1) button")
        until(page, "document.getElementById('wave').dataset.ready === '1'")
        bars = "[...document.querySelectorAll('#detail-bars .bar span:first-child')]"
        assert page.value(f"{bars}.map(each => each.textContent)") == [LABELS[0], "\ufffd[31mred", "\ufffdgnp 😀"]
        assert "\u202e" not in page.value("document.getElementById('detail-title').textContent")
        click(page, "#parts tbody tr:nth-child(4) button")
        until(page, "document.querySelector('#wave div').shadowRoot.querySelector('[part=cursor]').offsetLeft > 500")
        picture(page, "folder-page")
        assert page.value("document.querySelectorAll('img, b').length") == 0
        assert page.faults() == []
        assert page.hosts() == []
