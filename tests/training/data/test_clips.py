from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from emotions.errors import DataError
from tests.training.data.helpers import read
from training.config.dataset import DatasetConfig
from training.data.clips import read_clips

Annotate = Callable[..., Path]
ClipWav = Callable[..., Path]
TWO = {"a_1.wav": {"emotion": "angry"}, "b_1.wav": {"emotion": "sad"}}


def refused(path: Path, **keys: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(path, **keys)
    return str(caught.value)


def test_annotations_of_the_seed(annotate: Annotate) -> None:
    folder = annotate(
        {
            "rec_1.wav": {"emotion": "гнев", "state": "отрицательное", "speaker": "03", "age": 41},
            "rec_2.wav": {"emotion": " радость ", "state": None, "speaker": None},
            "other.wav": {"state": "нейтральное"},
        }
    )
    table = read(folder)
    first, second, third = table.clips
    assert table.targets == ("emotion", "state")
    assert table.labels("emotion") == ("гнев", "радость")
    assert dict(first.labels) == {"emotion": "гнев", "state": "отрицательное"}
    assert dict(second.labels) == {"emotion": "радость"}
    assert dict(third.labels) == {"state": "нейтральное"}
    assert (first.speaker, second.speaker) == ("03", None)
    assert (first.recording, second.recording, third.recording) == ("rec", "rec", "other")
    assert first.columns["age"] == "41"
    assert first.file.is_file()


def test_the_annotations_file_itself_is_a_path(annotate: Annotate) -> None:
    folder = annotate(TWO)
    assert read(folder / "annotations.json") == read(folder)


@pytest.mark.parametrize("place", ["data", "data/dataset"])
def test_without_a_path_data_and_data_dataset_are_looked_at(tmp_path: Path, annotate: Annotate, place: str) -> None:
    folder = annotate({f"{place}/{name}": columns for name, columns in TWO.items()})
    (folder / "annotations.json").unlink()
    (folder / place / "annotations.json").write_text(json.dumps(TWO), encoding="utf-8")
    assert len(read_clips(DatasetConfig(), tmp_path)) == 2


def test_without_a_path_and_data_the_error_says_where_it_looked_and_how_to_name_it(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_clips(DatasetConfig(), tmp_path)
    message = str(caught.value)
    assert str(tmp_path / "data") in message
    assert str(tmp_path / "data" / "dataset") in message
    assert "--set pipeline.0.dataset.path=" in message


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    assert "dataset.path" in refused(tmp_path / "nowhere")


def test_a_path_of_parts_is_joined_and_relative_to_the_root(tmp_path: Path, annotate: Annotate) -> None:
    folder = annotate(TWO)
    config = DatasetConfig(path=[folder.name])
    assert len(read_clips(config, folder.parent)) == 2


def test_all_faults_are_told_at_once_the_first_five_by_name(annotate: Annotate) -> None:
    gone = [f"gone{index}.wav" for index in range(7)]
    rows = {name: {"emotion": "angry"} for name in gone} | {
        "blank.wav": {"emotion": "", "note": "x"},
        "word.wav": "angry",
        "late.wav": {"emotion": "sad", "start": 2, "end": 1},
        "soon.wav": {"emotion": "sad", "start": "soon"},
        "nan.wav": {"emotion": "sad", "end": "nan"},
        "../out.wav": {"emotion": "sad"},
        "/out.wav": {"emotion": "sad"},
    }
    message = refused(annotate(rows, missing=(*gone, "../out.wav", "/out.wav")))
    assert "7 x clip is named but not there" in message
    assert "gone0.wav, gone1.wav, gone2.wav, gone3.wav, gone4.wav and 2 more" in message
    assert "1 x clip has no label" in message
    assert "word.wav" in message
    assert "start is not before end, or is negative: late.wav" in message
    assert "2 x start or end is not a number of seconds: soon.wav, nan.wav" in message
    assert "../out.wav, /out.wav" in message


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a.wav": {"emotion": "x"}, "a.wav": {"emotion": "y"}}', "\x00"])
def test_annotations_that_are_not_such_json(tmp_path: Path, text: str) -> None:
    (tmp_path / "annotations.json").write_text(text, encoding="utf-8")
    assert "annotations.json" in refused(tmp_path)


def test_empty_annotations(tmp_path: Path) -> None:
    (tmp_path / "annotations.json").write_text("{}", encoding="utf-8")
    assert "holds no recordings" in refused(tmp_path)


def test_one_class_is_not_enough(annotate: Annotate) -> None:
    message = refused(annotate({"a.wav": {"emotion": "angry"}, "b.wav": {"emotion": "angry"}}))
    assert "at least two classes" in message
    assert "angry" in message


def test_no_target_column_names_the_columns_there_are(annotate: Annotate) -> None:
    message = refused(annotate({"a.wav": {"mood": "x", "speaker": "1"}, "b.wav": {"mood": "y"}}))
    assert "mood, speaker" in message
    assert "dataset.targets" in message


def test_targets_that_a_config_names(annotate: Annotate) -> None:
    folder = annotate({"a.wav": {"mood": "x", "emotion": "p"}, "b.wav": {"mood": "y", "emotion": "q"}})
    table = read(folder, targets=["mood"])
    assert table.targets == ("mood",)
    assert table.clips[0].columns["emotion"] == "p"
    assert "'anger'" in refused(folder, targets=["mood", "anger"])


@pytest.mark.parametrize("name", ["confidence", "file", "label", "a.b"])
def test_targets_that_clash_with_columns_of_prediction_tables(annotate: Annotate, name: str) -> None:
    folder = annotate({"a.wav": {name: "x"}, "b.wav": {name: "y"}})
    assert "cannot name a target" in refused(folder, targets=[name])


def test_names_in_any_script_and_either_unicode_form(annotate: Annotate, tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "é_1.wav") for form in ("NFC", "NFD"))
    names = ["Кириллица_1.wav", "😀.wav", "two\nlines.wav", decomposed, "中文/声音.wav"]
    labels = ["гнев", "怒り", "غضب", "😡", "ሀ"]
    folder = annotate({name: {"emotion": label} for name, label in zip(names, labels, strict=True)})
    rows = json.loads((folder / "annotations.json").read_text(encoding="utf-8"))
    rows[composed] = rows.pop(decomposed)
    (folder / "annotations.json").write_text(json.dumps(rows), encoding="utf-8")
    table = read(folder)
    assert all(clip.file.is_file() for clip in table.clips)
    assert table.labels("emotion") == tuple(sorted(labels))
    assert {clip.name for clip in table.clips} == set(names)


def test_a_name_with_a_line_break_stays_on_its_line_in_an_error(annotate: Annotate) -> None:
    message = refused(annotate({"two\nlines.wav": {"emotion": "x"}, "b.wav": {"emotion": "y"}}, ("two\nlines.wav",)))
    assert r"two\nlines.wav" in message


def test_both_unicode_forms_of_one_name_are_a_duplicate(annotate: Annotate) -> None:
    composed, decomposed = (unicodedata.normalize(form, "é.wav") for form in ("NFC", "NFD"))
    folder = annotate({composed: {"emotion": "x"}, decomposed: {"emotion": "y"}}, missing=(decomposed,))
    table = folder / "t.csv"
    table.write_text(f"file,emotion\n{composed},x\n{composed},y\n", encoding="utf-8")
    assert "clip stands twice" in refused(table)


def test_class_folders(clip_wav: ClipWav, tmp_path: Path) -> None:
    for name in ("Angry/deep/03_a_1.wav", "Angry/03_b.WAV", "Sad/03_a_2.wav", "Sad/.hidden.wav", ".git/x/y.wav"):
        clip_wav(name)
    (tmp_path / "Sad" / "notes.txt").write_text("not a clip")
    (tmp_path / "docs").mkdir()
    table = read(tmp_path, target="mood", speaker={"pattern": r"/(\d\d)_"})
    assert [clip.name for clip in table.clips] == ["Angry/03_b.WAV", "Angry/deep/03_a_1.wav", "Sad/03_a_2.wav"]
    assert table.targets == ("mood",)
    assert table.labels("mood") == ("Angry", "Sad")
    assert {clip.speaker for clip in table.clips} == {"03"}
    assert [clip.recording for clip in table.clips] == ["03", "deep/03_a", "03_a"]


def test_class_folders_below_the_parts_of_a_split(clip_wav: ClipWav, tmp_path: Path) -> None:
    for name in ("train/angry/a.wav", "train/sad/b.wav", "test/sad/c.wav"):
        clip_wav(name)
    table = read(tmp_path)
    assert table.labels("emotion") == ("angry", "sad")
    assert [clip.split for clip in table.clips] == ["test", "train", "train"]


def test_a_recording_outside_the_class_folders_is_a_fault(clip_wav: ClipWav, tmp_path: Path) -> None:
    for name in ("angry/a.wav", "sad/b.wav", "stray.wav"):
        clip_wav(name)
    assert "stray.wav" in refused(tmp_path)


def test_a_linked_class_folder_is_followed_and_a_loop_of_links_is_not(clip_wav: ClipWav, tmp_path: Path) -> None:
    clip_wav("elsewhere/a.wav")
    clip_wav("set/sad/b.wav")
    (tmp_path / "set" / "angry").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "sad" / "loop").symlink_to(tmp_path / "set")
    assert [clip.name for clip in read(tmp_path / "set").clips] == ["angry/a.wav", "sad/b.wav"]


@pytest.mark.parametrize("layout", ["auto", "folders", "table", "annotations"])
def test_a_folder_with_nothing_in_it(tmp_path: Path, layout: str) -> None:
    assert str(tmp_path) in refused(tmp_path, format=layout)


def test_a_file_that_is_no_dataset(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    assert "is not a dataset file" in refused(tmp_path / "notes.txt")


def test_a_pattern_that_does_not_match_every_path(annotate: Annotate) -> None:
    message = refused(annotate(TWO), speaker={"pattern": "^(a)"})
    assert "dataset.speaker does not match: b_1.wav" in message


def test_a_speaker_column_that_is_not_there(annotate: Annotate) -> None:
    assert "'who'" in refused(annotate(TWO), speaker={"column": "who"})


def test_speaker_and_recording_by_other_columns(annotate: Annotate) -> None:
    rows = {name: {**columns, "who": "7", "take": name[0]} for name, columns in TWO.items()}
    table = read(annotate(rows), speaker={"column": "who"}, recording={"column": "take"})
    assert [(clip.speaker, clip.recording) for clip in table.clips] == [("7", "a"), ("7", "b")]


def write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        mark = "\t" if path.suffix == ".tsv" else ","
        lines = [mark.join(rows[0]), *(mark.join("" if v is None else f'"{v}"' for v in row.values()) for row in rows)]
        path.write_text("\n".join(lines), encoding="utf-8-sig")


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_tables(clip_wav: ClipWav, tmp_path: Path, suffix: str) -> None:
    clip_wav("x/a_1.wav")
    clip_wav("x/two\nlines.wav")
    rows: list[dict[str, Any]] = [
        {"file": "x/a_1.wav", "emotion": "angry", "speaker": "03", "start": 0.0, "end": 0.05, "split": "train"},
        {"file": "x/a_1.wav", "emotion": "sad", "speaker": "03", "start": 0.05, "end": None, "split": "dev"},
        {"file": "x/two\nlines.wav", "emotion": "sad", "speaker": None, "start": None, "end": None, "split": "test"},
    ]
    write_table(tmp_path / f"t.{suffix}", rows)
    table = read(tmp_path)
    assert table == read(tmp_path / f"t.{suffix}")
    assert [(clip.start, clip.end) for clip in table.clips] == [(0.0, 0.05), (0.05, None), (None, None)]
    assert [clip.speaker for clip in table.clips] == ["03", "03", None]
    assert [clip.split for clip in table.clips] == ["train", "dev", "test"]
    assert [clip.recording for clip in table.clips] == ["x/a", "x/a", "x/two\nlines"]


def test_a_table_may_name_clips_elsewhere_and_use_semicolons(clip_wav: ClipWav, tmp_path: Path) -> None:
    here, there = clip_wav("set/a.wav"), clip_wav("elsewhere/b.wav")
    table = tmp_path / "set" / "t.csv"
    table.write_text(f"file;emotion\n{here.name};x,1\n{there};y\n", encoding="utf-8")
    clips = read(table).clips
    assert [clip.name for clip in clips] == ["a.wav", there.as_posix()]
    assert clips[0].labels["emotion"] == "x,1"


def test_a_backslash_between_folders(clip_wav: ClipWav, tmp_path: Path) -> None:
    clip_wav("x/a.wav")
    clip_wav("x/b.wav")
    (tmp_path / "t.csv").write_text("file,emotion\nx\\a.wav,p\nx\\b.wav,q\n", encoding="utf-8")
    assert [clip.name for clip in read(tmp_path).clips] == ["x/a.wav", "x/b.wav"]


def test_several_tables_in_a_folder_must_be_told_apart(tmp_path: Path) -> None:
    for name in ("train.csv", "test.csv"):
        (tmp_path / name).write_text("file,emotion\na.wav,x\n")
    assert "test.csv, train.csv" in refused(tmp_path)


def test_a_table_of_predictions_or_without_files_is_not_taken_for_labels(clip_wav: ClipWav, tmp_path: Path) -> None:
    clip_wav("angry/a.wav")
    clip_wav("sad/b.wav")
    (tmp_path / "predictions.csv").write_text("file,emotion,confidence,error\nangry/a.wav,sad,0.9,\n")
    (tmp_path / "speakers.csv").write_text("speaker,age\n1,40\n")
    (tmp_path / "broken.parquet").write_text("not a table")
    assert read(tmp_path).labels("emotion") == ("angry", "sad")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.csv", b"name,emotion\na.wav,x\n", "has no column 'file'"),
        ("t.csv", b"file,emotion\na.wav,x,y,z\n", "t.csv:2: has 4 cells"),
        ("t.csv", b"file,emotion,emotion\na.wav,x,y\n", "'emotion' stands twice"),
        ("t.csv", b"file,emotion\nb.wav,y\n,x\n", "no value in the column 'file': row 2"),
        ("t.csv", b'file,emotion\n"a.wav,x\n', "is not a table"),
        ("t.csv", b"file,emotion\n\xff\xfe.wav,x\n", "is not UTF-8"),
        ("t.csv", b"", "holds no recordings"),
        ("t.csv", b"file,emotion\na\x00b.wav,x\n", "not there"),
        ("t.csv", b"file,emotion\n" + b"a" * 5000 + b",x\n", "not there"),
        ("t.jsonl", b"{}\n[1]\n", "t.jsonl:2: is not a JSON object"),
        ("t.jsonl", b'{"file": \n', "t.jsonl:1"),
        ("t.parquet", b"PAR1 not really", "is not a Parquet table"),
        ("t.parquet", b"", "is not a Parquet table"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert said in refused(tmp_path / name)


def test_the_fingerprint_knows_labels_and_audio_but_not_names(annotate: Annotate, tmp_path: Path) -> None:
    folder = annotate(TWO)
    before = read(folder).fingerprint
    for old, new in (("a_1.wav", "c_1.wav"), ("b_1.wav", "d_1.wav")):
        (folder / old).rename(folder / new)
    renamed = {"d_1.wav": TWO["b_1.wav"], "c_1.wav": TWO["a_1.wav"]}
    (folder / "annotations.json").write_text(json.dumps(renamed))
    assert read(folder).fingerprint == before
    (folder / "annotations.json").write_text(json.dumps(renamed | {"c_1.wav": {"emotion": "calm"}}))
    assert read(folder).fingerprint != before
    (folder / "annotations.json").write_text(json.dumps(renamed))
    (folder / "c_1.wav").write_bytes((folder / "d_1.wav").read_bytes())
    assert read(folder).fingerprint != before


def test_emodb4_as_class_folders(emodb4: Path) -> None:
    table = read(emodb4, format="folders", speaker={"pattern": r"^[^/]+/(\d\d)"})
    assert table.counts("emotion") == {"Angry": 127, "Happy": 71, "Neutral": 79, "Sad": 62}
    assert {clip.speaker for clip in table.clips} == {"03", "08", "09", *map(str, range(10, 17))}


def test_emodb4_as_annotations(emodb4: Path) -> None:
    table = read(emodb4)
    assert len(table) == 339
    assert table.targets == ("emotion", "state")
    assert table.labels("emotion") == ("гнев", "нейтраль", "печаль", "радость")
    assert table.labels("state") == ("нейтральное", "отрицательное", "положительное")
    assert len({clip.speaker for clip in table.clips}) == 10
    assert table.clips[0].columns["sentence"] == "a01"
