"""``--page``: one file with the table and each recording over time; names are text, recordings stay where they are."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import emotions
from emotions.errors import ConfigError, OutputExists
from serving.batch.options import Options
from serving.batch.page import report_page
from serving.batch.predict import predict_to_table
from tests.conftest import WriteWav

HOSTILE = "</script><img src=x onerror=alert(1)> \x1b[31m\u202egnp 😀.wav"
AWAY = re.compile(r"(?:src|href)=\"(?!data:)[^\"]")


@pytest.fixture
def folder(tmp_path: Path, write_wav: WriteWav) -> Path:
    """A loud recording with a plain name, another with a hostile one, and a file that is none."""
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, 20_000).astype(np.float32)
    write_wav(tmp_path / "in" / "a.wav", sound)
    write_wav(tmp_path / "in" / HOSTILE.replace("/", "_"), sound[:9_000])
    (tmp_path / "in" / "bad.wav").write_text("no audio")
    return tmp_path / "in"


def written(folder: Path, bundle: Path, **options: Any) -> str:
    page = folder.parent / "pages" / "out.html"
    predict_to_table([folder], bundle, folder.parent / "t.csv", Options(page=page, quiet=True, **options))
    return page.read_text(encoding="utf-8")


def given(page: str) -> Any:
    found = re.search(r'<script type="application/json" id="given">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_it_holds_each_recording_over_time(folder: Path, tiny_bundle: Path) -> None:
    content = given(written(folder, tiny_bundle))
    rows = {row["name"]: row for row in content["files"]}
    row, prediction = rows["a.wav"], emotions.load(tiny_bundle).predict(folder / "a.wav")
    assert row["answer"]["label"] == prediction.label
    assert row["answer"]["probabilities"]["emotion"] == pytest.approx(prediction.probabilities["emotion"])
    parts = [[part.start, part.end, *part.probabilities["emotion"].values()] for part in prediction.windows]
    assert [each[:5] for each in row["answer"]["windows"]] == [pytest.approx(part, abs=1e-3) for part in parts]
    assert max(row["peaks"]) == 50
    assert "not audio" in rows["bad.wav"]["error"]
    assert content["left"] == 0


def test_recordings_are_named_and_not_held(folder: Path, tiny_bundle: Path) -> None:
    page = written(folder, tiny_bundle)
    rows = {row["name"]: row for row in given(page)["files"]}
    assert rows["a.wav"]["src"] == "../in/a.wav"
    assert "data:audio" not in page
    (hostile,) = (row for name, row in rows.items() if "onerror" in name)
    assert re.fullmatch(r"\.\./in/[\w%./~-]+", hostile["src"])


def test_it_asks_for_nothing_and_no_name_is_markup(folder: Path, tiny_bundle: Path) -> None:
    page = written(folder, tiny_bundle)
    shell = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert [*AWAY.findall(shell)] == ['href="/']  # the interface of a service, which is not shown
    assert "<img" not in page
    policy = re.search(r'content-security-policy" content="([^"]+)"', page)
    script = re.search(r'<script type="module">(.*?)</script>', page, re.DOTALL)
    assert policy
    assert script
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy[1]
    assert policy[1].startswith("default-src 'none'")
    assert "http" not in policy[1]


def test_of_too_many_recordings_the_first_ones_are_shown(
    folder: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_page, "MOST_FILES", 2)
    content = given(written(folder, tiny_bundle))
    assert (len(content["files"]), content["left"]) == (2, 1)


def test_windows_are_bounded_too(folder: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_page, "MOST_PARTS", 1)
    content = given(written(folder, tiny_bundle))
    assert content["left"] == 2
    assert [row["name"] for row in content["files"]] == ["bad.wav"]


def test_channels_have_rows_of_their_own(tiny_bundle: Path, tmp_path: Path, write_wav: WriteWav) -> None:
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, (20_000, 2)).astype(np.float32)
    write_wav(tmp_path / "in" / "call.wav", sound)
    rows = given(written(tmp_path / "in", tiny_bundle, channels="split"))["files"]
    assert [row["answer"]["channel"] for row in rows] == [1, 2]


def test_segments_of_a_table_are_not_played_from_elsewhere(folder: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "segments.csv").write_text(f"file,start,end\n{folder / 'a.wav'},0.2,0.9\n")
    page = tmp_path / "out.html"
    predict_to_table([tmp_path / "segments.csv"], tiny_bundle, tmp_path / "t.csv", Options(page=page, quiet=True))
    (row,) = given(page.read_text(encoding="utf-8"))["files"]
    assert row["src"] == ""
    assert "0.2 to 0.9 s" in row["name"]


def test_a_page_that_cannot_be_written_is_told_at_once(folder: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    there = tmp_path / "there.html"
    there.write_text("mine")
    with pytest.raises(OutputExists, match="--overwrite"):
        predict_to_table([folder], tiny_bundle, tmp_path / "t.csv", Options(page=there))
    assert there.read_text() == "mine"
    with pytest.raises(ConfigError, match=r"\.html"):
        predict_to_table([folder], tiny_bundle, tmp_path / "t.csv", Options(page=tmp_path / "page.pdf"))
    with pytest.raises(ConfigError, match="--resume"):
        predict_to_table([folder], tiny_bundle, tmp_path / "t.csv", Options(page=tmp_path / "p.html", resume=True))
    assert not (tmp_path / "t.csv").exists()
