"""Tables as people's tools write them, read by ``emotions predict`` and by training alike."""

from __future__ import annotations

import csv
import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from emotions.cli import run
from emotions.errors import DataError
from emotions.inputs import csv_tables, parquet_audio, tables
from emotions.inputs.discovery import find_files
from emotions.inputs.remote import fetch
from emotions.inputs.tables import read_table
from tests.conftest import WriteWav

CELLS = st.text(st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from("\n,;\t|\"'"), max_size=12)
NAMES = st.text(st.sampled_from("abcxyz_ ÄéЯ中"), min_size=1, max_size=8).map(str.strip).filter(bool)
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")


@st.composite
def written(draw: st.DrawFn) -> tuple[list[str], list[list[str]], bytes]:
    """A header, rows, and what Python's csv module makes of them."""
    others = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    header = draw(st.permutations(["file", *others]))
    row = st.lists(CELLS, min_size=len(header), max_size=len(header))
    rows = draw(st.lists(row, max_size=6))
    stream = io.StringIO(newline="")
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC, csv.QUOTE_NONE]))
    if quoting == csv.QUOTE_NONE:  # where nothing needs an escape: one cannot be told from a backslash in a path
        assume(not any(set(cell) & set('\n,;\t|"') for cells in rows for cell in cells))
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    if end == "\r" and quoting != csv.QUOTE_ALL:  # the writer leaves a bare new line without quotes then
        assume(not any("\n" in cell for cells in rows for cell in cells))
    writer = csv.writer(stream, delimiter=draw(st.sampled_from(",;\t|")), quoting=quoting, lineterminator=end)
    writer.writerow(header)
    writer.writerows(rows)
    blank = draw(st.integers(0, 2)) * "\n"
    return list(header), rows, (stream.getvalue() + blank).encode(draw(st.sampled_from(ENCODINGS)))


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(table=written(), ending=st.sampled_from(["csv", "tsv"]))
def test_what_pythons_csv_module_writes_is_read_back(
    tmp_path: Path, table: tuple[list[str], list[list[str]], bytes], ending: str
) -> None:
    header, rows, content = table
    path = tmp_path / f"t.{ending}"
    path.write_bytes(content)
    expected = [
        {name: cell.strip() for name, cell in zip(header, row, strict=True) if cell.strip()}
        for row in rows
        if any(cell.strip() for cell in row)
    ]
    assert [dict(row.columns) for row in read_table(path)] == expected


@pytest.mark.parametrize("word", ["Ärger", "fröhlich", "Größe", "alegría", "colère et dégoût", "señor y alegría"])
def test_windows_1252_is_read_where_it_is_certain(tmp_path: Path, word: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(f"file;emotion\na.wav;{word}\nb.wav;Müller’s\n".replace("Müller’s", "neutral").encode("cp1252"))
    assert [row.columns["emotion"] for row in read_table(path)] == [word, "neutral"]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("гнев", "cp1251"),
        ("гнев", "koi8-r"),
        ("vztek a hněv, překvapení", "cp1250"),
        ("złość", "cp1250"),
        ("wstręt", "cp1250"),
        ("kızgın", "cp1254"),
        ("θυμός", "cp1253"),
        ("怒り", "shift_jis"),
        ("愤怒", "gbk"),
        ("분노", "euc-kr"),
        ("böse", "cp850"),
        ("colère", "mac-roman"),
    ],
)
def test_other_encodings_are_refused_and_never_guessed(tmp_path: Path, text: str, encoding: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(f'file;emotion\na.wav;"{text}"\n'.encode(encoding))
    with pytest.raises(DataError, match=r"is not UTF-8 text.*; its columns: file, emotion; save the table as UTF-8"):
        read_table(path)


@pytest.mark.parametrize(
    "text",
    [
        "file,emotion\na.wav,x\n",
        "sep=;\nfile;emotion\na.wav;x\n;;;\n;\n\n",
        "SEP=|\r\nfile|emotion\r\na.wav|x\r\n",
        "\n\nFILE,EMOTION\na.wav,x,,\n,,,\n",
        "Path\temotion\na.wav\tx\n",
        "emotion,file_name\nx,a.wav\n",
        "emotion;File Name\nx;a.wav\n",
        ",filename,emotion\n0,a.wav,x\n",
        '"wav", "emotion"\n"a.wav", "x"\n',
        "audio_filepath,emotion,,\na.wav,x,,\n",
        "'file','emotion'\n'a.wav','x'\n",
    ],
)
def test_headers_blank_rows_and_directives(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode("utf-8-sig"))
    (row,) = read_table(path)
    assert row.columns["file"] == "a.wav"
    assert {name.lower(): value for name, value in row.columns.items()}["emotion"] == "x"
    assert [file.name for file in find_files([path]).files] == ["a.wav"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,emotion\na.wav,x\n", "has no column 'file'; its columns: emotion, name; call the one that names"),
        ("path,filename\nx,a.wav\n", "several that may name the recordings: filename, path; call one of them 'file'"),
        ("file,emotion\na.wav,x,y\n", r":2: has 3 cells, the header names 2 columns \(file, emotion\)"),
        ("file,emotion\n" + "x" * 1_100_000 + ",y\n", "is not a table"),
    ],
)
def test_what_cannot_be_told_is_refused_with_the_columns(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=said) as caught:
        find_files([tmp_path / "t.csv"])
    assert "\n" not in str(caught.value)


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.jsonl"
    monkeypatch.setattr(tables, "MAX_ROWS", 2)
    path.write_text('{"file": "a.wav"}\n' * 3)
    with pytest.raises(DataError, match="has more than 2 rows"):
        read_table(path)
    monkeypatch.setattr(csv_tables, "LINE_LIMIT", 100)
    path.write_text(json.dumps({"file": "a" * 200}))
    with pytest.raises(DataError, match="has a line of more than 100 characters"):
        read_table(path)
    wide = tmp_path / "wide.csv"
    monkeypatch.setattr(csv_tables, "LINE_LIMIT", 1 << 24)
    wide.write_text(",".join(["file", *(f"c{number}" for number in range(10_001))]) + "\n")
    with pytest.raises(DataError, match="has 10002 columns, at most 10000"):
        read_table(wide)


def test_backslashes_and_marks_in_lists_and_tables(tmp_path: Path, write_wav: WriteWav, tone: Any) -> None:
    write_wav(tmp_path / "x" / "a.wav", tone())
    odd = tmp_path / "x" / "Ärger.wav"
    write_wav(odd, tone())
    (tmp_path / "t.csv").write_text("file\nx\\a.wav\n", encoding="utf-16")
    (file,) = find_files([tmp_path / "t.csv"]).files
    assert (file.path, file.name) == (tmp_path / "x" / "a.wav", "x\\a.wav")
    listed = f"{tmp_path}\\x\\a.wav\r\n{odd}\r\n"
    for encoding in ("utf-8-sig", "utf-16", "cp1252"):
        (tmp_path / "list.txt").write_bytes(listed.encode(encoding))
        found = find_files([], [tmp_path / "list.txt"]).files
        assert [each.path for each in found] == [tmp_path / "x" / "a.wav", odd]


def test_a_backslash_that_is_part_of_a_name_stays(tmp_path: Path, write_wav: WriteWav, tone: Any) -> None:
    write_wav(tmp_path / "x\\a.wav", tone())
    (tmp_path / "t.csv").write_text("file\nx\\a.wav\n")
    (file,) = find_files([tmp_path / "t.csv"]).files
    assert file.path == tmp_path / "x\\a.wav"


@pytest.mark.parametrize("kind", ["structures", "bytes"])
def test_recordings_inside_a_parquet_table_are_classified_as_those_on_disk(
    tmp_path: Path, write_wav: WriteWav, tone: Any, tiny_bundle: Path, kind: str
) -> None:
    import pandas
    import pyarrow
    import pyarrow.parquet

    files = [write_wav(tmp_path / "wavs" / f"{number:02}.wav", tone(0.5, 200 + 50 * number)) for number in range(10)]
    content = [file.read_bytes() for file in files]
    names = [file.name for file in files]
    columns: dict[str, Any] = {
        "audio": [{"bytes": each, "path": name} for each, name in zip(content, names, strict=True)]
    }
    if kind == "bytes":
        columns = {"filename": names, "audio": content}
    table = tmp_path / "clips.parquet"
    pyarrow.parquet.write_table(pyarrow.table(columns), table, row_group_size=4)
    for source, output in ((table, "inside.csv"), (tmp_path / "wavs", "disk.csv")):
        arguments = ["predict", str(source), "--bundle", str(tiny_bundle), "--output", str(tmp_path / output)]
        assert run([*arguments, "--quiet", "--device", "cpu"]) == 0
    classified, disk = (pandas.read_csv(tmp_path / name) for name in ("inside.csv", "disk.csv"))
    pandas.testing.assert_frame_equal(classified, disk)


def test_a_broken_recording_inside_a_table_is_a_row(
    tmp_path: Path, tiny_bundle: Path, write_wav: WriteWav, tone: Any
) -> None:
    import pandas

    good = write_wav(tmp_path / "a.wav", tone()).read_bytes()
    rows = [{"bytes": each, "path": name} for each, name in ((b"no", "x.wav"), (None, "y.wav"), (good, "z.wav"))]
    pandas.DataFrame({"audio": rows}).to_parquet(tmp_path / "t.parquet")
    output = tmp_path / "o.csv"
    arguments = ["predict", str(tmp_path / "t.parquet"), "--bundle", str(tiny_bundle), "--output", str(output)]
    assert run([*arguments, "--quiet", "--device", "cpu"]) == 1
    table = pandas.read_csv(output)
    assert [*table["file"]] == ["x.wav", "y.wav", "z.wav"]
    assert [*table["error"].notna()] == [True, True, False]
    assert "is empty" in table["error"][1]


def test_rows_of_a_table_may_be_asked_for_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pandas

    content = [bytes([number]) * 1000 for number in range(50)]
    pandas.DataFrame({"audio": content}).to_parquet(tmp_path / "t.parquet")
    monkeypatch.setattr(parquet_audio, "_KEPT_BYTES", 3_000)
    files = find_files([tmp_path / "t.parquet"]).files
    order = [*range(0, 50, 7), *range(49, -1, -1), 3, 3]
    with ThreadPoolExecutor(4) as pool:
        assert [*pool.map(lambda index: fetch(str(files[index].source)), order)] == [content[index] for index in order]
    assert files[0].stamp
    with pytest.raises(OSError, match="has no row 99"):
        fetch(str(files[0].source).replace("row=0", "row=99"))
    with pytest.raises(OSError, match="is no recording in a table"):
        fetch("parquet:///nowhere")
