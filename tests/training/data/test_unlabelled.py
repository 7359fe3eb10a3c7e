from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from emotions.errors import DataError
from tests.conftest import Tone, WriteWav
from training.config.dataset import Column, DatasetConfig, Pattern
from training.data.unlabelled import NOTHING, Unlabelled, find_unlabelled, read_unlabelled


def config(path: Path | str | list[str] | None, **changes: Any) -> DatasetConfig:
    return DatasetConfig(unlabelled=str(path) if isinstance(path, Path) else path, **changes)


@pytest.fixture
def folder(tmp_path: Path, write_wav: WriteWav, tone: Tone) -> Path:
    """Two recordings, one of them in a folder, and a file that is none."""
    write_wav(tmp_path / "more" / "anna_1.wav", tone(0.4))
    write_wav(tmp_path / "more" / "deep" / "bert_2.wav", tone(0.6, hz=300))
    (tmp_path / "more" / "notes.txt").write_text("no recording")
    return tmp_path / "more"


def read(config: DatasetConfig, root: Path) -> Unlabelled:
    return read_unlabelled(config, root, 0)


def test_a_folder_holds_clips_without_labels(folder: Path) -> None:
    found = read(config("more"), folder.parent)
    assert [clip.name for clip in found.clips] == [str(folder / "anna_1.wav"), str(folder / "deep" / "bert_2.wav")]
    assert [fact.samples for fact in found.facts] == [6_400, 9_600]
    assert not any(clip.labels or clip.speaker or clip.split for clip in found.clips)
    assert found.summary() == {"clips": 2, "hours": round(1 / 3600, 4), "fingerprint": found.fingerprint}
    assert found.fingerprint == Unlabelled(found.clips[::-1], found.facts[::-1]).fingerprint
    assert found.fingerprint != Unlabelled(found.clips[1:], found.facts[1:]).fingerprint
    assert read(config(["..", "more"]), folder).fingerprint == found.fingerprint
    assert read(config(None), folder) is NOTHING


def test_a_table_has_times_and_speakers_and_its_labels_are_not_read(folder: Path) -> None:
    table = folder / "list.csv"
    table.write_text(
        "file,start,end,speaker,emotion,split\nanna_1.wav,0,0.2,anna,calm,test\nanna_1.wav,0.2,0.4,anna,wild,\n"
    )
    found = read(config(table), folder)
    assert [fact.samples for fact in found.facts] == [3_200, 3_200]
    assert {clip.speaker for clip in found.clips} == {"anna"}
    assert [clip.labels for clip in found.clips] == [{}, {}]
    assert {clip.split for clip in found.clips} == {None}
    assert len({clip.recording for clip in found.clips}) == 1


def test_speakers_are_told_by_the_rule_of_the_dataset_where_it_fits(folder: Path) -> None:
    pattern = Pattern(pattern=r"^([a-z]+)_")
    found = find_unlabelled(config(folder, speaker=pattern), folder)
    assert found is not None
    assert [clip.speaker for clip in found.clips] == ["anna", None]  # the other lies in a folder: not known
    found = find_unlabelled(config(folder, speaker=Column(column="speaker")), folder)
    assert found is not None
    assert {clip.speaker for clip in found.clips} == {None}


def test_a_recording_that_cannot_be_used_is_left_out_and_counted(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "broken.wav").write_bytes(b"RIFF")
    assert len(read(config(folder), folder)) == 2
    assert "1 of 3 clips are left out" in caplog.text
    assert "broken" not in caplog.text


def test_bad_places_are_one_line(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"dataset.unlabelled: .*nowhere: no such folder or table"):
        read(config("nowhere"), tmp_path)
    with pytest.raises(DataError, match=r"notes.txt: is no table of recordings"):
        read(config(folder / "notes.txt"), tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"dataset.unlabelled: .*empty: holds no recordings"):
        read(config("empty"), tmp_path)
    (tmp_path / "list.csv").write_text("file,start\nmore/anna_1.wav,soon\nmore/gone.wav,0\n")
    with pytest.raises(DataError, match=r"dataset.unlabelled(?s:.*)not there(?s:.*)not a number of seconds"):
        read(config("list.csv"), tmp_path)
    for name in ("anna_1.wav", "deep/bert_2.wav"):
        (folder / name).write_bytes(b"")
    with pytest.raises(DataError, match="none of the 2 clips can be used"):
        read(config(folder), tmp_path)
