from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from emotions.errors import ConfigError, MissingExtra, OutputExists
from emotions.folder.result import FileResult
from emotions.runtime.prediction import Prediction, WindowPrediction
from serving.tables import parquet as parquet_tables
from serving.tables import writer
from serving.tables.columns import columns
from serving.tables.writer import check_ending, join_parts, open_part, rows

TARGETS = {"emotion": ["angry", "emotion.гнев", "a,b\n\"c'"], "state": ["negative", "positive"]}
FORMATS = ["csv", "jsonl", "parquet"]

names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
unit = st.floats(0, 1)


@st.composite
def results(draw: st.DrawFn) -> FileResult:
    if draw(st.booleans()):
        return FileResult(draw(names), None, draw(st.text(st.characters(exclude_categories=["Cs"]))), "not_audio")
    scores = {target: {label: draw(unit) for label in labels} for target, labels in TARGETS.items()}
    return FileResult(draw(names), Prediction(scores, (), draw(st.floats(0.025, 1e5))))


def row(result: FileResult, targets: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    return next(rows(result, dict.fromkeys(columns(targets))))


def typed(cells: dict[str, str]) -> dict[str, Any]:
    """A row of a CSV file, which has neither numbers nor nulls, with those of the table."""
    kinds = columns(TARGETS)
    plain = {
        name: value[1:]
        if kinds[name] is str and value.lstrip("'").startswith(("=", "+", "-", "@", "\t", "\r"))
        else value
        for name, value in cells.items()
    }
    return {name: (kinds[name](value) if value else None) for name, value in plain.items()}


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return list(parquet.read_table(path).to_pylist())
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as stream:
            return [typed(cells) for cells in csv.DictReader(stream, strict=True)]
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def write(path: Path, given: list[FileResult]) -> Path:
    """A table of one part."""
    part = path.with_name(f"part-of-{path.name}")
    with open_part(part, columns(TARGETS)) as append:
        for result in given:
            append(row(result, TARGETS))
    join_parts([part], path, columns(TARGETS))
    part.unlink()
    return path


@pytest.mark.parametrize("ending", FORMATS)
@given(given=st.lists(results(), max_size=5))
@settings(deadline=None)
def test_every_row_comes_back_whatever_the_names(ending: str, given: list[FileResult]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        back = read(write(Path(folder, f"table.{ending}"), given))
    assert [cells["file"] for cells in back] == [result.name for result in given]
    for cells, result in zip(back, given, strict=True):
        assert list(cells) == list(columns(TARGETS))
        assert cells == row(result, TARGETS)


def test_a_row_says_what_the_prediction_says() -> None:
    scores = {"emotion": {"angry": 0.123456789, "emotion.гнев": 0.8, 'x"': 1.23456789e-9}, "state": {"negative": 1.0}}
    cells = row(FileResult("б/a.wav", Prediction(scores, (), 2.5)), {name: list(each) for name, each in scores.items()})
    assert cells == {
        "file": "б/a.wav",
        "start": 0.0,
        "end": 2.5,
        "emotion": "emotion.гнев",
        "state": "negative",
        "emotion.angry": 0.123457,
        "emotion.emotion.гнев": 0.8,
        'emotion.x"': 1.23457e-9,
        "state.negative": 1.0,
        "confidence": 0.8,
        "duration": 2.5,
        "warning": None,
        "error": None,
    }


def test_a_failed_file_is_its_name_and_its_error() -> None:
    cells = row(FileResult("a.wav", None, "is empty", "not_audio"), TARGETS)
    assert {name: value for name, value in cells.items() if value is not None} == {
        "file": "a.wav",
        "error": "not_audio: is empty",
    }


def test_no_cell_of_a_csv_file_is_computed(tmp_path: Path) -> None:
    given = [FileResult(name, None, "=1+1", "+x") for name in ("=cmd()", "+1", "-1", "@SUM(A1)", "\t=1", "'=1", "it's")]
    text = write(tmp_path / "t.csv", given).read_text(encoding="utf-8")
    with io.StringIO(text, newline="") as stream:
        cells = [line["file"] for line in csv.DictReader(stream)]
    assert cells == ["'=cmd()", "'+1", "'-1", "'@SUM(A1)", "'\t=1", "''=1", "it's"]
    assert [line["file"] for line in read(write(tmp_path / "t.jsonl", given))] == [result.name for result in given]
    assert [line["file"] for line in read(write(tmp_path / "t.csv", given))] == [result.name for result in given]


def test_csv_is_rfc_4180(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", [FileResult('a\n"б",.wav', None, "is empty", "not_audio")])
    head, line = path.read_bytes().split(b"\r\n", 1)
    assert head.startswith(b"file,start,end,emotion,state,emotion.angry,emotion.emotion.\xd0\xb3")
    assert line == '"a\n""б"",.wav",,,,,,,,,,,,,not_audio: is empty\r\n'.encode()


@pytest.mark.parametrize("ending", FORMATS)
def test_a_name_that_is_no_utf8_is_written_readably(tmp_path: Path, ending: str) -> None:
    name = b"caf\xe9.wav".decode("utf-8", "surrogateescape")
    (cells,) = read(write(tmp_path / f"t.{ending}", [FileResult(name, None, "is empty", "not_audio")]))
    assert cells["file"] == r"caf\udce9.wav"


def test_parquet_is_typed_and_written_in_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_tables, "_ROWS_IN_GROUP", 10)
    with open_part(tmp_path / "t.parquet", columns(TARGETS)) as append:
        for index in range(25):
            append(row(FileResult(f"{index}.wav", None, "is empty", "not_audio"), TARGETS))
    file = parquet.ParquetFile(tmp_path / "t.parquet")
    assert [file.metadata.row_group(index).num_rows for index in range(3)] == [10, 10, 5]
    types = {field.name: str(field.type) for field in file.schema_arrow}
    assert types == {name: {str: "string", float: "double"}[kind] for name, kind in columns(TARGETS).items()}
    assert len(parquet.read_table(write(tmp_path / "none.parquet", []))) == 0


@pytest.mark.parametrize("ending", FORMATS)
def test_a_run_that_stops_leaves_what_was_there(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"t.{ending}"
    path.write_text("before")
    with pytest.raises(KeyboardInterrupt), open_part(path, columns(TARGETS)) as append:
        append(row(FileResult("a", None, "x", "y"), TARGETS))
        raise KeyboardInterrupt
    assert path.read_text() == "before"
    assert [*tmp_path.iterdir()] == [path]


def test_what_cannot_be_written_is_told_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ConfigError, match=r"t\.xlsx: a table ends with \.csv, \.jsonl, \.parquet, \.audformat, or is a folder"
    ):
        check_ending(tmp_path / "t.xlsx")
    (tmp_path / "folder.CSV").mkdir()
    with pytest.raises(OutputExists, match="is a folder"):
        check_ending(tmp_path / "folder.CSV")
    (tmp_path / "file").touch()
    with pytest.raises(OutputExists, match="is a file where a folder is to be written"):
        check_ending(tmp_path / "file")
    monkeypatch.setattr(writer, "find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match="serve"):
        check_ending(tmp_path / "t.parquet")


def test_rows_of_windows_lie_in_the_recording_where_their_segment_does() -> None:
    scores = [{"emotion": {"angry": share, "sad": 1 - share}} for share in (0.75, 0.25)]
    windows = tuple(WindowPrediction(at, at + 1, each) for at, each in zip((0.0, 0.5), scores, strict=True))
    result = FileResult("a.wav", Prediction(scores[0], windows, 1.5), start=10.0, end=12.0)
    template = dict.fromkeys(columns({"emotion": ["angry", "sad"]}))
    first, second = rows(result, template, windows=True)
    assert (first["start"], first["end"], first["emotion"], first["confidence"]) == (10.0, 11.0, "angry", 0.75)
    assert (second["start"], second["end"], second["emotion"], second["duration"]) == (10.5, 11.5, "sad", 1.5)
    (whole,) = rows(result, template)
    assert (whole["start"], whole["end"], whole["duration"]) == (10.0, 12.0, 1.5)
    (failed,) = rows(FileResult("a.wav", None, "x", "y", 3.0, 4.0), template, windows=True)
    assert (failed["start"], failed["end"], failed["error"]) == (3.0, 4.0, "y: x")


def test_rows_of_speech_say_where_its_segments_are() -> None:
    scores = {"emotion": {"angry": 0.75, "sad": 0.25}}
    segments = tuple(WindowPrediction(*times, scores) for times in ((0.5, 2.0), (3.0, 3.25)))
    windows = tuple(WindowPrediction(*times, scores) for times in ((0.5, 1.5), (1.0, 2.0), (3.0, 3.25)))
    result = FileResult("a.wav", Prediction(scores, windows, 9.0, segments=segments), start=10.0, end=19.0)
    template = dict.fromkeys(columns({"emotion": ["angry", "sad"]}, segments="speech"))
    names = ("start", "duration", "speech.duration", "speech.start", "speech.end")
    found = [tuple(cells[name] for name in names) for cells in rows(result, template, windows=True)]
    assert found == [(10.5, 9.0, 1.75, 10.5, 12.0), (11.0, 9.0, 1.75, 10.5, 12.0), (13.0, 9.0, 1.75, 13.0, 13.25)]
    (whole,) = rows(result, template)
    assert tuple(whole[name] for name in names) == (10.0, 9.0, 1.75, None, None)


@pytest.mark.parametrize("counts", [[], [3], [3, 4, 1]])
@pytest.mark.parametrize("ending", FORMATS)
def test_joined_parts_are_the_table(tmp_path: Path, ending: str, counts: list[int]) -> None:
    parts, given = [], []
    for number, count in enumerate(counts):
        parts.append(tmp_path / f"{number}.{ending}")
        part = [FileResult(f"{number}\n{index}.wav", None, "is empty", "not_audio") for index in range(count)]
        given += part
        with open_part(parts[-1], columns(TARGETS)) as append:
            for result in part:
                append(row(result, TARGETS))
    join_parts(parts, tmp_path / f"joined.{ending}", columns(TARGETS))
    assert read(tmp_path / f"joined.{ending}") == read(write(tmp_path / f"whole.{ending}", given))


def test_a_table_without_an_ending_is_a_folder_of_parquet_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_tables, "_PARTS_IN_FILE", 2)
    parts = [tmp_path / f"{number}.parquet" for number in range(3)]
    for part in parts:
        with open_part(part, columns(TARGETS)) as append:
            append(row(FileResult(part.name, None, "is empty", "not_audio"), TARGETS))
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "part-00007.parquet").touch()
    (tmp_path / ".table.partial").mkdir()
    join_parts(parts, tmp_path / "table", columns(TARGETS))
    assert sorted(file.name for file in (tmp_path / "table").iterdir()) == ["part-00000.parquet", "part-00001.parquet"]
    assert parquet.read_table(tmp_path / "table")["file"].to_pylist() == [part.name for part in parts]


def test_a_folder_that_holds_anything_but_a_table_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "part-00000.parquet").touch()
    check_ending(tmp_path / "clips")
    (tmp_path / "clips" / "a.wav").touch()
    with pytest.raises(OutputExists, match=r"clips: is a folder that holds other things \(a\.wav\)"):
        check_ending(tmp_path / "clips")
