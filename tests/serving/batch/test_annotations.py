"""``emotions predict --timeline`` as its users run it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotions.calls.formats.elan import read_elan
from emotions.calls.formats.textgrid import read_textgrid
from emotions.errors import ConfigError, OutputExists
from emotions.inputs.input_file import InputFile
from serving.batch.annotations import FORMATS, formats_of, paths_of
from serving.batch.options import Options
from serving.batch.predict import predict_to_table
from tests.conftest import TINY_TARGETS, Tone, WriteWav
from tests.emotions.audio.speech.conftest import between_silences, real_clips
from tests.serving.batch.test_predict import read, run

names = st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=80)


@pytest.fixture
def clips(tone: Tone, write_wav: WriteWav, tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    write_wav(folder / "b" / "call.wav", np.stack([tone(1.2), tone(1.2, 900)], axis=1))
    write_wav(folder / "a.wav", tone(0.7))
    write_wav(folder / "a.flac.wav", tone(0.7))
    (folder / "text.wav").write_text("no audio")
    return folder


def test_a_file_for_each_recording_in_each_format(tiny_bundle: Path, clips: Path, tmp_path: Path) -> None:
    chosen = ("--timeline", ",".join(FORMATS), "--channels", "split", "--speakers", "agent,customer", "--windows")
    done = run("clips", "--bundle", tiny_bundle, "--output", "t.csv", *chosen, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    folder = tmp_path / "t.timelines"
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*")) == sorted(
        f"{name}{ending}"
        for name in ("a", "a.flac", "b/call")
        for ending in (".TextGrid", ".eaf", ".json", ".rttm", ".srt", ".txt", ".vtt")
    )
    call = read_textgrid((folder / "b" / "call.TextGrid").read_text(), "call")
    assert [tier.name for tier in call.tiers] == [
        f"{speaker} {target}" for speaker in ("agent", "customer") for target in TINY_TARGETS
    ]
    rows = [row for row in read(tmp_path / "t.csv") if row["file"] == "b/call.wav" and row["speaker"] == "agent"]
    assert [each.label for each in call.tiers[0].intervals] == [row["emotion"] for row in rows]
    assert [(each.start, each.end) for each in call.tiers[0].intervals] == [(0, 0.5), (0.5, 0.85), (0.85, 1.2)]
    eaf = read_elan((folder / "b" / "call.eaf").read_bytes(), "call")
    assert [each.label for each in eaf.tiers[0].intervals] == [row["emotion"] for row in rows]
    (task,) = json.loads((folder / "b" / "call.json").read_text())
    assert task["data"] == {"audio": "b/call.wav"}


def test_segments_of_speech_are_the_intervals(tiny_bundle: Path, tmp_path: Path, write_wav: WriteWav) -> None:
    path = write_wav(tmp_path / "talk.wav", between_silences(real_clips()[:2]))
    for windows in (False, True):
        options = Options(timeline=("textgrid",), segments="speech", windows=windows, overwrite=True, quiet=True)
        predict_to_table([path], tiny_bundle, tmp_path / "t.csv", options)
        rows = read(tmp_path / "t.csv")
        found = read_textgrid((tmp_path / "t.timelines" / "talk.TextGrid").read_text(), "x").tiers[0].intervals
        assert len(found) == (len(rows) if windows else 2)
        assert sum(each.end - each.start for each in found) == pytest.approx(
            float(rows[0]["speech.duration"]), abs=1e-3
        )


def test_files_of_others_are_kept(tiny_bundle: Path, clips: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "a.TextGrid").write_text("mine")
    options = Options(timeline=("textgrid",), timeline_folder=folder, quiet=True)
    with pytest.raises(OutputExists, match="is not an empty folder"):
        predict_to_table([clips], tiny_bundle, tmp_path / "t.csv", options)
    assert (folder / "a.TextGrid").read_text() == "mine"
    with pytest.raises(ConfigError, match="timeline_folder: say in which formats"):
        predict_to_table([clips], tiny_bundle, tmp_path / "t.csv", Options(timeline_folder=tmp_path))


def test_names_of_formats() -> None:
    assert formats_of("srt, elan,srt") == ("srt", "elan")
    assert formats_of("") == ()
    with pytest.raises(ConfigError, match=r"^timeline: got 'doc'; textgrid, elan, "):
        formats_of("textgrid,doc")


def test_segments_and_equal_stems_have_files_of_their_own() -> None:
    files = [
        InputFile("x", "a/b.wav"),
        InputFile("x", "a/b.mp3"),
        InputFile("x", "a/B.flac"),
        InputFile("x", "c.wav", 0.5, 2.0),
        InputFile("x", "c.wav", 2.0, None),
        InputFile("x", "c.wav", 0.5, 2.0, channel=2, speaker="x"),
        InputFile("x", "../../etc/passwd"),
        InputFile("x", "s3://bucket/.hidden/d.wav"),
    ]
    assert [*paths_of(files).values()] == [
        "a/b.wav",
        "a/b.mp3",
        "a/B.flac",
        "c_0.5-2",
        "c_2-",
        "etc/passwd",
        "s3_/bucket/hidden/d",
    ]


@given(st.lists(names, max_size=6))
def test_no_name_leads_out_of_the_folder(given_names: list[str]) -> None:
    found = paths_of([InputFile("x", name) for name in given_names])
    assert len({path.casefold() for path in found.values()}) == len(set(given_names))
    for path in found.values():
        parts = path.split("/")
        assert not path.startswith("/")
        assert all(part and not part.startswith(".") and len(part.encode()) < 240 for part in parts)
        assert path.isprintable()
