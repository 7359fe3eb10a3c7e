"""``emotions predict`` without a table: a line a recording, a recording over time."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import emotions
from emotions.cli import run
from tests.conftest import Tone, WriteWav


@pytest.fixture
def recordings(tmp_path: Path, tone: Tone, write_wav: WriteWav) -> Path:
    folder = tmp_path / "recordings"
    write_wav(folder / "sub" / "a.wav", tone(1.0))
    write_wav(folder / "b.wav", tone(2.5, hz=300))
    (folder / "broken.wav").write_text("this is not audio " * 20)
    (folder / "notes.txt").write_text("x")
    return folder


def test_a_line_a_recording_and_the_bundle(
    recordings: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["predict", str(recordings), "--bundle", str(tiny_bundle)]) == 1
    *lines, empty, last = capsys.readouterr().out.splitlines()
    predictor = emotions.load(tiny_bundle, device="cpu")
    assert [line.split()[0] for line in lines] == ["b.wav", "broken.wav", "sub/a.wav"]
    for line, name, seconds in ((lines[0], "b.wav", "2.5 s"), (lines[2], "sub/a.wav", "1.0 s")):
        answer = predictor.predict(recordings / name)
        assert seconds in line
        assert re.search(rf"{answer.label} +[█▉▊▋▌▍▎▏]+ +{100 * answer.confidence:.0f} %", line)
    assert "error: is not audio" in lines[1]
    assert empty == ""
    assert last.startswith(predictor.bundle.id)
    assert "3 recordings" in last
    assert "1 of other kinds passed over" in last
    assert "1 not_audio" in last


def test_control_characters_and_narrow_terminals(
    tmp_path: Path,
    tone: Tone,
    write_wav: WriteWav,
    tiny_bundle: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    path = write_wav(tmp_path / ("\x1b[31m" + "long" * 20 + ".wav"), tone())
    assert run(["predict", str(path), "--bundle", str(tiny_bundle)]) == 0
    line = capsys.readouterr().out.splitlines()[0]
    assert "\x1b" not in line
    assert line.split()[0].endswith("long.wav")
    assert len(line.split(" s ")[0]) < 30


def test_a_timeline_has_a_row_a_label_over_the_level(
    tmp_path: Path, tone: Tone, write_wav: WriteWav, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loud, quiet = tone(10.0), 0.02 * tone(10.0)
    path = write_wav(tmp_path / "call.wav", np.concatenate([loud, quiet]))
    picture = tmp_path / "timeline.png"
    arguments = ["predict", str(path), "--bundle", str(tiny_bundle), "--windows", "--plot", str(picture)]
    assert run(arguments) == 0
    title, level, *rows, axis, _, _ = capsys.readouterr().out.splitlines()
    manifest = emotions.load(tiny_bundle, device="cpu").manifest
    assert title == "call.wav, 0:20.0"
    drawn = level.removeprefix("  level").strip()
    assert set(drawn[: len(drawn) // 2 - 1]) == {"▃"}
    assert set(drawn[len(drawn) // 2 + 1 :]) == {"▁"}
    assert len(rows) == sum(map(len, manifest.targets.values()))
    assert axis.split() == ["0:00.0", "0:05.0", "0:10.0", "0:15.0"]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_summary_is_drawn(recordings: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    picture = tmp_path / "summary.png"
    assert run(["predict", str(recordings), "--bundle", str(tiny_bundle), "--plot", str(picture)]) == 1
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_one_recording_is_drawn_over_time(
    recordings: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["predict", str(recordings), "--bundle", str(tiny_bundle), "--windows", "--plot", "t.png"]) == 2
    assert "a timeline is drawn of one recording, these are 3" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--resume"], ["--overwrite"], ["--embeddings"], ["--log-format", "json"]])
def test_options_of_tables_need_one(
    option: list[str], recordings: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["predict", str(recordings), "--bundle", str(tiny_bundle), *option]) == 2
    assert f"{' '.join(option)} is for tables: name one with --output" in capsys.readouterr().err
