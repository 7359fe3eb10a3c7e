from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emotions.cli import run
from emotions.errors import DataError
from emotions.pipeline.runner import Context
from training.config.dataset import DatasetConfig
from training.config.train import TrainStep
from training.corpus import read_corpus
from training.data.checks.check import CheckReport, check_dataset

Make = Callable[..., Any]


@pytest.fixture
def troubled(tmp_path: Path, tone: Make, write_wav: Make) -> Path:
    """Two classes with every trouble that a check looks for."""
    folder = tmp_path / "set"
    for number in range(3):
        write_wav(folder / "angry" / f"0{number}_a.wav", tone(1 + number, hz=200 + 50 * number))
        write_wav(folder / "sad" / f"00_{number}.wav", tone(1, hz=500 + 50 * number), 44_100)
    write_wav(folder / "angry" / "00_twin.wav", tone(1, hz=500), 44_100)
    write_wav(folder / "angry" / "00_loud.wav", np.clip(9 * tone(), -1, 1))
    write_wav(folder / "angry" / "00_silent.wav", np.zeros(16_000))
    write_wav(folder / "angry" / "00_short.wav", tone(0.01))
    (folder / "angry" / "00_text.wav").write_text("hello")
    return folder


def report_on(path: Path, **keys: Any) -> CheckReport:
    return check_dataset(DatasetConfig(path=str(path), **keys), Path("/"))


def texts(report: CheckReport) -> list[str]:
    return [finding.text for finding in report.warnings]


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """``check(*arguments)``: the exit code of ``emotions data check`` and what it says."""

    def checked(*arguments: Any) -> tuple[int, str]:
        code = run(["data", "check", *map(str, arguments)])
        said = capsys.readouterr()
        return code, said.out + (said.err if code == 2 else "")

    return checked


Check = Callable[..., tuple[int, str]]


def test_a_check_finds_everything_and_stops_at_nothing(troubled: Path) -> None:
    report = report_on(troubled, speaker={"pattern": r"/(\d\d)_"})
    assert report.bad or report.faults
    assert report.clips == 11
    assert report.labels == {"emotion": {"angry": 8, "sad": 3}}
    assert report.speakers == {"00": 9, "01": 1, "02": 1}
    assert report.rates == {16_000: 6, 44_100: 4}
    assert report.channels == {1: 10}
    assert report.durations[2] == pytest.approx(3)
    assert set(report.bad) == {"too short", "silent", "unreadable"}
    assert "00_text.wav (is not audio" in report.bad["unreadable"][0]
    assert report.clipped == ["angry/00_loud.wav"]
    assert report.duplicates == [["angry/00_twin.wav", "sad/00_0.wav"]]
    assert any("'sad' has clips of one speaker only" in line for line in texts(report))
    assert any("contradict" in line for line in texts(report))


def test_what_is_cut_off_is_listed_and_used(tmp_path: Path, tone: Make, write_wav: Make, check: Check) -> None:
    path = write_wav(tmp_path / "angry" / "cut.wav", tone())
    path.write_bytes(path.read_bytes()[:-8_000])
    write_wav(tmp_path / "sad" / "whole.wav", tone(hz=300))
    report = report_on(tmp_path)
    assert report.bad == {}
    assert [*report.incomplete] == ["truncated"]
    assert "angry/cut.wav (is cut off: 8000 bytes" in report.incomplete["truncated"][0]
    assert "truncated" in check(tmp_path)[1]
    assert report.durations[0] == 0.75


def test_the_text_is_aligned_and_names_what_is_wrong(troubled: Path, check: Check) -> None:
    lines = check(troubled)[1].splitlines()
    assert lines[0] == str(troubled)
    assert "  emotion       angry (8), sad (3)" in lines
    assert "  speakers      unknown" in lines
    assert "  duplicates    angry/00_twin.wav = sad/00_0.wav" in lines
    assert len({line.index(line[2:].split("  ")[-1].strip()) for line in lines[1:]}) == 1


def test_faults_of_the_labels_are_listed_and_refused(tmp_path: Path, tone: Make, write_wav: Make, check: Check) -> None:
    for name in "ab":
        write_wav(tmp_path / f"{name}.wav", tone(hz=300 if name == "a" else 400))
    (tmp_path / "t.csv").write_text("file,emotion\na.wav,x\nb.wav,y\ngone.wav,x\n")
    code, text = check(tmp_path)
    assert code == 1
    assert "1 x clip is named but not there" in text
    assert "gone.wav" in text
    assert "clips         2" in text


def test_one_class_is_refused(tmp_path: Path, tone: Make, write_wav: Make, check: Check) -> None:
    write_wav(tmp_path / "angry" / "a.wav", tone())
    code, text = check(tmp_path)
    assert code == 1
    assert "needs at least two classes" in text


def test_a_path_without_a_dataset_is_a_mistake_of_the_command(tmp_path: Path, check: Check) -> None:
    code, text = check(tmp_path / "nowhere")
    assert code == 2
    assert "no dataset" in text


def test_a_sound_dataset(emodb4: Path) -> None:
    report = report_on(emodb4)
    assert not report.bad
    assert not report.faults
    assert len(report.speakers) == 10
    assert report.rates == {16_000: 339}
    assert report.hours == pytest.approx(0.26, abs=0.1)
    assert "10: 03 (" in str(report)


def two_speakers(folder: Path, rows: list[str], clip: Make, header: str = "file,emotion,speaker") -> Path:
    """A table of four speakers with two emotions, and ``rows`` after them; ``clip(name)`` writes a recording."""
    every = [f"{speaker}_{emotion}.wav,{emotion},{speaker}" for speaker in "abcd" for emotion in ("angry", "happy")]
    for row in [*every, *rows]:
        clip(row.split(",", maxsplit=1)[0])
    (folder / "t.csv").write_text("\n".join([header, *every, *rows]) + "\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize("label", ["nan", "NaN", "NA", "N/A", "None", "null", "<NA>", "?"])
def test_a_label_that_looks_like_a_missing_value_is_refused(
    tmp_path: Path, clip_wav: Make, check: Check, label: str
) -> None:
    code, text = check(two_speakers(tmp_path, [f"x.wav,{label},a", f"y.wav,{label},b"], clip_wav))
    assert code == 1
    assert f"emotion '{label}' looks like a missing value" in text
    assert "x.wav, y.wav" in text
    assert "verdict" in text


@pytest.mark.parametrize(("one", "other"), [("Angry", "angry"), ("ГНЕВ", "гнев"), ("caf\u00e9", "cafe\u0301")])
def test_labels_that_differ_by_case_or_unicode_form_are_refused(
    tmp_path: Path, clip_wav: Make, check: Check, one: str, other: str
) -> None:
    rows = [f"{label}{speaker}.wav,{label},{speaker}" for speaker in "ab" for label in (one, other)]
    code, text = check(two_speakers(tmp_path, rows, clip_wav))
    assert code == 1
    assert "differ only in case, spaces or Unicode form" in text


def test_labels_a_letter_apart_are_told_and_short_or_numbered_ones_are_not(
    tmp_path: Path, clip_wav: Make, check: Check
) -> None:
    labels = ("angy", "sad", "mad", "class1", "class2", "hpapy")
    rows = [f"{label}_{speaker}.wav,{label},{speaker}" for label in labels for speaker in "abc"]
    code, text = check(two_speakers(tmp_path, rows, clip_wav))
    assert code == 0
    assert "emotion 'angry' (4) and 'angy' (3) are a letter apart" in text
    assert "'happy' (4) and 'hpapy' (3)" in text
    assert text.count("a letter apart") == 2


def test_segments_beyond_the_recordings_end_are_named(
    tmp_path: Path, write_wav: Make, tone: Make, check: Check
) -> None:
    for speaker in "abcd":
        write_wav(tmp_path / f"{speaker}.wav", tone(2.0, 200 + 20 * ord(speaker) % 50))
    rows = [f"{s}.wav,{e},{s},{a},{b}" for s in "abcd" for e, a, b in (("x", 0, 0.9), ("y", 1.0, 2.02))]
    rows += ["a.wav,x,a,1.5,3.25", "b.wav,y,b,7,8"]
    (tmp_path / "t.csv").write_text("\n".join(["file,emotion,speaker,start,end", *rows]))
    _, text = check(tmp_path)
    assert "end after their recording does, by up to 1.25 s, and are used as far as it goes" in text
    assert "1: a.wav [1.5-3.25 s]" in text
    assert "b.wav [7-8.0 s] (starts at 7 s, where the recording has ended)" in text


def test_mixed_rates_levels_and_clips_without_speech_are_told(tmp_path: Path, write_wav: Make, check: Check) -> None:
    random = np.random.default_rng(0)
    for number, speaker in enumerate("abcdef"):
        for emotion, rate, gain in (("calm", 8_000, 0.01), ("wild", 16_000, 1.0)):
            seconds = np.arange(rate) / rate
            voice = sum(np.sin(2 * np.pi * (120 + 9 * number) * k * seconds) / k for k in range(1, 9))
            noise = random.normal(0, 0.01, rate)
            write_wav(tmp_path / emotion / f"{speaker}.wav", gain * (0.2 * voice + noise), rate)
    write_wav(tmp_path / "wild" / "rain.wav", random.normal(0, 0.1, 16_000))
    _, text = check(tmp_path)
    assert "sample rates differ: 8000 Hz (6), 16000 Hz (7)" in text
    assert "emotion 'calm' has clips of 8000 Hz only" in text
    assert "levels differ by 4" in text
    assert "no speech found, by a simple measure of energy and periodicity" in text
    assert "1: wild/rain.wav" in text


def test_real_speech_has_speech(emodb4: Path) -> None:
    assert texts(report_on(emodb4)) == []


def test_the_speaker_is_a_column_or_a_pattern(tmp_path: Path, clip_wav: Make, check: Check) -> None:
    folder = two_speakers(tmp_path, [], clip_wav, header="file,emotion,Who")
    assert "speakers      unknown" in check(folder)[1]
    code, text = check(folder, "--speaker", "who")
    assert code == 0
    assert "speakers      4: a (2), b (2), c (2), d (2)" in text
    assert "taken from    the column 'who'" in text
    assert "such as       a_angry.wav: speaker a, recording a" in text
    assert "speaker-disjoint hold-out (2 train / 1 validation / 1 test speakers)" in text
    code, text = check(folder, "--speaker", r"^(\w)_")
    assert code == 0
    assert r"taken from    the path, by the pattern ^(\w)_" in text
    code, text = check(folder, "--speaker", "(")
    assert code == 2
    assert "must be a regular expression" in text
    assert check(folder, "--speaker", "room")[0] == 1


def test_the_datasets_of_a_pipeline_file(tmp_path: Path, clip_wav: Make, check: Check) -> None:
    folder = two_speakers(tmp_path / "set", [], lambda name: clip_wav(f"set/{name}"))
    step = {
        "type": "train",
        "model": "SpectrogramCnnClassifier",
        "dataset": {"path": "set", "speaker": {"column": "speaker"}},
    }
    config = tmp_path / "c.json"
    config.write_text(json.dumps({"pipeline": [step, {**step, "name": "again"}]}))
    code, text = check("--config-file", config, "--root", tmp_path)
    assert code == 0
    assert text.count("speaker-disjoint hold-out") == 1
    code, text = check("--config-file", config, "--root", tmp_path, "--set", "pipeline.0.dataset.split.by=house")
    assert code == 1
    assert "dataset.split.by 'house'" in text
    assert check("--config-file", config, "--root", folder)[0] == 2
    assert check()[0] == 2
    assert check(folder, "--format", "nonsense")[0] == 2


def test_what_training_refuses_is_refused_here_in_the_same_words(
    tmp_path: Path, clip_wav: Make, write_wav: Make, tone: Make, check: Check
) -> None:
    folder = two_speakers(tmp_path, [], clip_wav)
    for name in ("a_angry", "b_angry", "c_angry", "d_angry"):
        write_wav(folder / f"{name}.wav", tone())
    code, text = check(folder)
    assert code == 1
    assert "share what they must not share" in text
    assert "the same samples" in text
    with pytest.raises(DataError) as caught:
        read_corpus(
            TrainStep.model_validate(
                {"type": "train", "model": "SpectrogramCnnClassifier", "dataset": {"path": str(folder)}}
            ),
            Context(folder, 0, 0, {}),
        )
    assert all(line.strip() in text for line in str(caught.value).splitlines())


def test_what_it_says_training_logs_once(
    tmp_path: Path, clip_wav: Make, check: Check, caplog: pytest.LogCaptureFixture
) -> None:
    folder = two_speakers(tmp_path, [f"{s}_angy.wav,angy,{s}" for s in "abcd"], clip_wav)
    step = TrainStep.model_validate(
        {"type": "train", "model": "SpectrogramCnnClassifier", "dataset": {"path": str(folder)}}
    )
    for _ in range(2):
        read_corpus(step, Context(folder, 0, 0, {}))
    said = check(folder)[1]
    logged = [record.message for record in caplog.records]
    assert sum("are a letter apart" in line for line in logged) == 1
    assert sum("no speech found" in line and "(12 clips;" in line for line in logged) == 1
    assert all(line.partition(" (12 clips")[0] in said for line in logged)
    assert "a_angry" not in "".join(logged)
