"""``emotions init`` and ``emotions train FOLDER``: what is understood, what is asked, what is written."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emotions.cli import run
from emotions.errors import DataError
from tests.conftest import Tone, WriteWav
from training.data.initial_config.understanding import Given, Understanding, understand

WHO = ("anna", "ben", "cleo", "dora")


def nobody(_: str, __: Sequence[str]) -> None:
    return None


def first(_: str, answers: Sequence[str]) -> int:
    assert answers
    return 0


@pytest.fixture
def recordings(tmp_path: Path, tone: Tone, write_wav: WriteWav, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``calls/{angry,calm}/{speaker}_{take}.wav``; the working directory is the folder above."""
    monkeypatch.chdir(tmp_path)
    for index, (label, who, take) in enumerate((a, b, c) for a in ("angry", "calm") for b in WHO for c in range(3)):
        write_wav(tmp_path / "calls" / label / f"{who}_{take}.wav", tone(hz=200 + 11 * index))
    return Path("calls")


def dataset_of(found: Understanding) -> Any:
    return found.document["pipeline"][0]["dataset"]


def table(recordings: Path, columns: Sequence[str], cells: dict[str, str]) -> Path:
    """A table of all recordings: ``columns`` are file, label, speaker, and ``cells`` translates labels."""
    path = recordings / "clips.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for wav in sorted(recordings.rglob("*.wav")):
            label = cells.get(wav.parent.name, wav.parent.name)
            writer.writerow([wav.relative_to(recordings).as_posix(), label, wav.stem.split("_")[0], "0.1", "0.9"])
    return path


def test_what_the_names_say_is_asked_for_and_used(recordings: Path, tmp_path: Path) -> None:
    found = understand(recordings, tmp_path, Given(), first)
    assert found.speakers == "4, by the first part of the file name"
    assert set(found.report.speakers) == {*WHO}
    assert found.report.protocol.startswith("speaker-disjoint")
    assert found.document["pipeline"][0]["saving_data_params"]["saved_checkpoints_path"] == [
        "$$ROOT_DIR$$",
        "runs",
        "calls",
    ]


def test_unasked_a_guess_keeps_clips_together_and_claims_no_speakers(recordings: Path, tmp_path: Path) -> None:
    found = understand(recordings, tmp_path, Given(), nobody)
    assert found.speakers == "unknown"
    assert not found.report.speakers
    assert {*found.report.recordings} == {*WHO}
    assert "speaker-disjoint" not in found.report.protocol
    (note,) = found.notes
    assert "--speaker" in note
    given = understand(recordings, tmp_path, Given(speaker=dataset_of(found)["recording"]["pattern"]), nobody)
    assert set(given.report.speakers) == {*WHO}
    assert given.notes == ()


def test_few_speakers_are_split_as_far_as_they_go(
    tmp_path: Path, tone: Tone, write_wav: WriteWav, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for who in (1, 2):
        for label in ("angry", "calm"):
            for take in range(4):
                write_wav(Path("two") / label / f"speaker{who}_{take}.wav", tone(hz=200 * who + 31 * take + len(label)))
    two = understand(Path("two"), tmp_path, Given(), nobody)
    assert dataset_of(two)["split"]["test"] == 0.0
    assert "too few speakers for a test part" in two.notes[0]
    for path in Path("two").rglob("speaker2_*.wav"):
        path.unlink()
    one = understand(Path("two"), tmp_path, Given(), nobody)
    assert dataset_of(one)["split"]["by"] in ("recording", "clip")
    assert "figures are for these alone" in one.notes[0]


def test_a_table_of_segments_is_understood(recordings: Path, tmp_path: Path) -> None:
    cells = {"angry": "гнев", "calm": "спокойствие"}
    table(recordings, ["file", "label", "speaker", "start", "end"], cells)
    found = understand(recordings, tmp_path, Given(), nobody)
    assert {*found.report.labels["emotion"]} == {*cells.values()}
    assert found.speakers == "4, by the column 'speaker'"
    assert "гнев 12" in str(found)


def test_a_column_of_another_name_is_asked_for(recordings: Path, tmp_path: Path) -> None:
    path = table(recordings, ["file", "mood", "teller", "start", "end"], {})
    with pytest.raises(DataError, match="it may be mood, teller: say which with --target COLUMN"):
        understand(path, tmp_path, Given(), nobody)
    asked = understand(path, tmp_path, Given(), first)
    assert [*asked.report.labels] == ["mood"]
    assert [*understand(path, tmp_path, Given("mood", "teller"), nobody).report.labels] == ["mood"]


def test_longer_and_more_clips_change_the_recipe(recordings: Path, tmp_path: Path, write_wav: WriteWav) -> None:
    for path in recordings.rglob("*.wav"):
        write_wav(path, 0.1 * np.sin(np.arange(7 * 16_000) * (0.1 + 0.001 * hash(path.name) % 0.01)))
    learn = understand(recordings, tmp_path, Given(), nobody).document["pipeline"][0]["learn_params"]
    assert learn["padding_sec"] == 7
    assert learn["batch_size"] == 16


def test_the_file_is_written_once_and_valid(recordings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", str(recordings), "--yes"]) == 0
    out = capsys.readouterr().out
    assert "2 classes: angry 12, calm 12" in out
    assert out.endswith("written: config.json\nnext: emotions train config.json\n")
    assert run(["validate", "--config-file", "config.json"]) == 0
    assert run(["init", str(recordings), "--yes"]) == 0
    assert run(["init", str(recordings), "--speaker", "(anna|ben|cleo|dora)"]) == 2
    assert "config.json: is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "nowhere: is not there; name the folder of your recordings"),
        (["calls", "--output", "calls"], "calls: is a folder; name a file with --output"),
        (["calls/angry"], "no class folders such as angry/clip.wav"),
        (["calls", "--speaker", "("], "must be a regular expression"),
        (["calls", "--target", "a.b"], "cannot name a target"),
    ],
)
def test_mistakes_are_told(
    recordings: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert recordings.is_dir()
    assert run(["init", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert not Path("config.json").exists()


def test_faults_are_told_at_once(recordings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (recordings / "Angry").mkdir()
    (recordings / "angry" / "anna_0.wav").rename(recordings / "Angry" / "anna_0.wav")
    assert run(["init", str(recordings)]) == 2
    assert "differ only in case" in capsys.readouterr().err


def test_a_folder_is_trained_on_and_a_file_too(recordings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", str(recordings), "--set", "pipeline.0.learn_params.max_epoch=1"]) == 0
    captured = capsys.readouterr()
    assert "2 classes: angry 12, calm 12" in captured.err
    assert captured.out.rstrip().endswith("next: emotions export --run runs/calls")
    trained = json.loads(Path("runs/calls/run.json").read_text())
    assert trained["model"] == "FunctionalsClassifier"
    assert run(["train", str(recordings), "--set", "pipeline.0.learn_params.max_epoch=1"]) == 2
    assert "holds a finished run" in capsys.readouterr().err
    assert run(["init", str(recordings), "--yes"]) == 0
    assert run(["train", "config.json", "--config-file", "config.json"]) == 2
    assert "name the pipeline file once" in capsys.readouterr().err
    once = [
        "--set",
        "pipeline.0.learn_params.max_epoch=1",
        "--set",
        'pipeline.0.saving_data_params.saved_checkpoints_path=["again"]',
    ]
    assert run(["train", "config.json", *once]) == 0
    assert Path("again/run.json").is_file()


def test_a_table_as_a_program_exports_it_is_understood(recordings: Path, tmp_path: Path) -> None:
    with (recordings / "My Export.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["Audio File", "Begin (s)", "End (s)", "Emotion", "Speaker ID", "Comment"])
        for path in sorted(recordings.rglob("*.wav")):
            who = path.name.partition("_")[0]
            writer.writerow([path.relative_to(recordings), "0,1", "0,35", path.parent.name.title(), who, "fine"])
    found = understand(recordings, tmp_path, Given(), nobody)
    assert found.report.durations[1] == pytest.approx(0.25, abs=0.01)
    assert "24 clips are segments of recordings, from start to end in seconds" in found.notes
    assert "4, by the column 'speaker'" in str(found)


def test_a_pattern_is_told_as_it_was_typed(recordings: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the pattern '/\(\\d\\d\)_' of dataset\.speaker does not match") as caught:
        understand(recordings, tmp_path, Given(speaker=r"/(\d\d)_"), nobody)
    assert r"'/(\d\d)_'" in str(caught.value)


def test_who_speaks_is_asked_for_with_an_example(tmp_path: Path, tone: Tone, write_wav: WriteWav) -> None:
    for index in range(12):
        write_wav(tmp_path / "x" / "ab"[index % 2] / f"{chr(97 + index) * 3}.wav", tone(hz=200 + 11 * index))
    assert r"such as '/(\d\d)' for two digits" in str(understand(tmp_path / "x", tmp_path, Given(), nobody))
