"""``emotions data check --voices``: who sounds like whom, and a guess at who speaks where nothing says it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from emotions.audio.windows import FloatArray
from emotions.cli import run
from tests.conftest import WriteWav
from tests.training.data.voices.helpers import embeddings
from training.config.dataset import DatasetConfig
from training.data.clips import Clip, read_clips
from training.data.voices import names
from training.evaluation.data_check import voices
from training.models.shelf import catalogue, fetch

PERSONS, CLIPS = [0, 1, 2, 0], 16


@pytest.fixture
def folder(write_wav: WriteWav, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset of four names, of which n0 and n3 are one person, and an encoder that tells them apart."""
    found, values = tmp_path / "set", embeddings(PERSONS, CLIPS)
    random = np.random.default_rng(0)
    for number in range(len(values)):
        label = ["angry", "sad"][number % 2]
        write_wav(found / label / f"n{number // CLIPS}x{number:02}.wav", 0.1 * random.standard_normal(8_000))

    def embedded(clips: list[Clip], *_: object) -> FloatArray:
        return values[[int(clip.name[-6:-4]) for clip in clips]]

    for module in (voices, names):
        monkeypatch.setattr(module, "clip_embeddings", embedded)
    monkeypatch.setattr(voices, "ready", lambda _: Path("encoder"))
    monkeypatch.setattr(fetch, "ready", lambda _: Path("encoder"))
    return found


def test_names_of_one_person_are_told_drawn_and_written(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    arguments = ["--speaker", "/(n.)x", "--voices", "--output", str(output)]
    assert run(["data", "check", str(folder), *arguments]) == 0
    said = capsys.readouterr().out
    assert "4: n0 (16), n1 (16), n2 (16), n3 (16)" in said
    assert "n0 (16 clips) and n3 (16 clips): over 99 % certain" in said
    findings = json.loads((output / "voices.json").read_text())
    [pair] = findings["pairs"]
    assert (pair["first"], pair["second"], findings["guessed"]) == ("n0", "n3", False)
    assert pair["certainty"] > 0.9
    assert (output / "voices.png").read_bytes().startswith(b"\x89PNG")
    assert not (output / "voices.csv").exists()


def test_unknown_speakers_are_guessed_into_a_table_that_a_split_may_use(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert run(["data", "check", str(folder), "--voices", "--output", str(output)]) == 0
    said = capsys.readouterr().out
    assert "a guess that errs" in said
    assert "one person?" not in said
    table = read_clips(DatasetConfig(path=str(output / "voices.csv"), targets=["emotion"]), Path("/"))
    assert len(table) == len(PERSONS) * CLIPS
    assert table.counts("emotion") == {"angry": 32, "sad": 32}
    assert not any(clip.speaker for clip in table.clips)
    guessed = [clip.columns["voice"] for clip in table.clips if Path(clip.name).name.startswith("n1")]
    assert max(map(guessed.count, guessed)) >= CLIPS // 2
    assert json.loads((output / "voices.json").read_text())["guessed"] is True


def test_one_speaker_alone_is_said(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--speaker", "/(n)", "--voices", "--output", str(tmp_path / "out")]
    run(["data", "check", str(folder), *arguments])
    assert "voices        of one speaker alone" in capsys.readouterr().out


def test_without_a_network_it_is_one_line(
    write_wav: WriteWav, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EMOTIONS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    write_wav(tmp_path / "set" / "a" / "1.wav", np.zeros(8_000))
    output = tmp_path / "out"
    assert run(["data", "check", str(tmp_path / "set"), "--voices", "--output", str(output)]) == 2
    said = capsys.readouterr().err
    package = catalogue.RESEMBLYZER.package
    assert f"resemblyzer: pip cannot download {package} (" in said
    assert "emotions encoders fetch resemblyzer --from Resemblyzer-0.1.4" in said
    assert "Traceback" not in said
    assert not output.exists()
