from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emotions.errors import DataError
from training.config.dataset import DatasetConfig
from training.data.check import CheckReport, check_dataset, check_path
from training.data.clips import gather_clips
from training.data.data_faults import Faults
from training.data.waveform_cache import WaveformCache

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
    faults = Faults()
    table = gather_clips(DatasetConfig(path=str(path), **keys), Path("/"), faults)
    return check_dataset(table, WaveformCache(), faults)


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
    assert any("'sad' has clips of one speaker only" in line for line in report.warnings)
    assert any("contradict" in line for line in report.warnings)


def test_what_is_cut_off_is_listed_and_used(tmp_path: Path, tone: Make, write_wav: Make) -> None:
    path = write_wav(tmp_path / "angry" / "cut.wav", tone())
    path.write_bytes(path.read_bytes()[:-8_000])
    write_wav(tmp_path / "sad" / "whole.wav", tone(hz=300))
    report = report_on(tmp_path)
    assert report.bad == {}
    assert [*report.incomplete] == ["truncated"]
    assert "angry/cut.wav (is cut off: 8000 bytes" in report.incomplete["truncated"][0]
    assert "truncated" in check_path(tmp_path)
    assert report.durations[0] == 0.75


def test_the_text_is_aligned_and_names_what_is_wrong(troubled: Path) -> None:
    lines = check_path(troubled).splitlines()
    assert lines[0] == str(troubled)
    assert "  emotion       angry (8), sad (3)" in lines
    assert "  speakers      unknown" in lines
    assert "  duplicates    angry/00_twin.wav = sad/00_0.wav" in lines
    assert len({line.index(line[2:].split("  ")[-1].strip()) for line in lines[1:]}) == 1


def test_faults_of_the_labels_are_listed_not_raised(tmp_path: Path, tone: Make, write_wav: Make) -> None:
    for name in "ab":
        write_wav(tmp_path / f"{name}.wav", tone(hz=300 if name == "a" else 400))
    (tmp_path / "t.csv").write_text("file,emotion\na.wav,x\nb.wav,y\ngone.wav,x\n")
    text = check_path(tmp_path)
    assert "1 x clip is named but not there" in text
    assert "gone.wav" in text
    assert "clips         2" in text


def test_one_class_is_a_warning(tmp_path: Path, tone: Make, write_wav: Make) -> None:
    write_wav(tmp_path / "angry" / "a.wav", tone())
    assert "fewer than two classes" in check_path(tmp_path)


def test_a_path_without_a_dataset(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no dataset"):
        check_path(tmp_path / "nowhere")


def test_a_sound_dataset(emodb4: Path) -> None:
    report = report_on(emodb4)
    assert not report.bad
    assert not report.faults
    assert len(report.speakers) == 10
    assert report.rates == {16_000: 339}
    assert report.hours == pytest.approx(0.26, abs=0.1)
    assert "10: 03 (" in str(report)
