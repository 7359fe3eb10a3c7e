"""What an input may be: folders, patterns, lists, tables, standard input and URLs."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import fsspec
import numpy as np
import pytest

import emotions
from emotions.errors import DataError, MissingExtra
from emotions.folder.predict_files import predict_files
from emotions.folder.result import FileResult
from emotions.inputs import remote
from emotions.inputs.discovery import find_files
from emotions.inputs.input_file import InputFile
from tests.conftest import Tone, WriteWav


@pytest.fixture(scope="module")
def predictor(tiny_bundle: Path) -> emotions.Predictor:
    return emotions.load(tiny_bundle, device="cpu", threads=1)


@pytest.fixture
def clips(tmp_path: Path, tone: Tone, write_wav: WriteWav) -> Path:
    """Seven recordings, their names in many scripts, and what is none."""
    for index, name in enumerate(("a.wav", "b/a.wav", "b/c/a.flac", "b/c/нова\nя.wav", "b/😀 [x].wav", "d.wav/e.wav")):
        write_wav(tmp_path / "clips" / name, tone(0.3 + 0.3 * index, 300 + 100 * index))
    (tmp_path / "clips" / ".hidden").mkdir()
    (tmp_path / "clips" / ".hidden" / "a.wav").touch()
    (tmp_path / "clips" / "b" / "notes.txt").touch()
    return tmp_path / "clips"


def names(*inputs: Path | str, lists: tuple[Path | str, ...] = ()) -> list[str]:
    return [file.name for file in find_files(inputs, lists).files]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.wav", ["a.wav", "d.wav/e.wav"]),
        ("**/*.wav", ["a.wav", "b/a.wav", "b/c/нова\nя.wav", "b/😀 [x].wav", "d.wav/e.wav"]),
        ("b/**/a.*", ["a.wav", "c/a.flac"]),
        ("[bc]", ["b/a.wav", "b/c/a.flac", "b/c/нова\nя.wav", "b/😀 [x].wav"]),
        ("?/a.wav", ["b/a.wav"]),
        ("*.mp3", []),
    ],
)
def test_patterns(clips: Path, pattern: str, expected: list[str]) -> None:
    assert names(f"{clips}/{pattern}") == expected


def test_patterns_end_in_loops_and_name_files_that_look_like_one(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        (clips / name).symlink_to(clips, target_is_directory=True)
    assert len(names(f"{clips}/**/*.wav")) == 5
    assert names(clips / "b" / "😀 [x].wav") == ["😀 [x].wav"]
    monkeypatch.chdir(clips)
    assert names("b/*.wav") == ["a.wav", "😀 [x].wav"]
    assert names("*.wav") == ["a.wav", "d.wav/e.wav"]
    with pytest.raises(DataError, match="no such folder as none"):
        names("none/*.wav")


def test_a_pattern_of_tables_stands_for_their_rows(clips: Path) -> None:
    for name in ("2.csv", "1.csv", "b/3.csv"):
        (clips / name).write_text(f"path\n{clips}/a.wav\n")
    assert len(names(f"{clips}/*.csv")) == 2
    assert len(names(f"{clips}/**/*.csv")) == 3
    assert names(f"{clips}/*") == names(clips), "as in a folder, only a table that is asked for is read"
    with pytest.raises(DataError, match=r"\*\.parquet: no table matches"):
        names(f"{clips}/*.parquet")


def test_a_list_is_kept_in_its_order_with_its_doubles(
    clips: Path, tmp_path: Path, predictor: emotions.Predictor
) -> None:
    first, second = clips / "b" / "a.wav", clips / "a.wav"
    (tmp_path / "list.txt").write_text(f"{first}\r\n\n{second}\n{first}\n{clips / 'b'}\n")
    assert names(lists=(tmp_path / "list.txt",)) == [str(first), str(second), str(first), str(clips / "b")]
    results = list(predict_files(predictor, find_files((), [tmp_path / "list.txt"]).files))
    assert results[0] == results[2]
    assert results[3].error == "cannot be read (Is a directory)"


def test_a_list_of_odd_names_comes_in_on_standard_input(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = [os.fsencode(clips / "b" / "c" / "нова\nя.wav"), b"caf\xe9.wav"]
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"\0".join(odd) + b"\0")))
    assert [os.fsencode(name) for name in names("-")] == odd
    with pytest.raises(DataError, match=r"none\.txt: cannot be read \(No such file"):
        names(lists=("none.txt",))


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_a_tables_rows_are_segments(
    tmp_path: Path, ending: str, write_wav: WriteWav, tone: Tone, predictor: emotions.Predictor
) -> None:
    import pandas

    signal = np.concatenate([tone(1.0, 300), tone(1.0, 3000)])
    write_wav(tmp_path / "a.wav", signal)
    rows = [("a.wav", None, None), ("a.wav", 1.0, None), ("a.wav", 0.25, 1.0), ("a.wav", 5.0, 6.0), ("b.wav", 0.0, 1.0)]
    frame = pandas.DataFrame(rows, columns=["file", "start", "end"])
    path = tmp_path / f"segments.{ending}"
    {
        "csv": lambda: frame.to_csv(path, index=False),
        "tsv": lambda: frame.to_csv(path, index=False, sep="\t"),
        "jsonl": lambda: frame.to_json(path, orient="records", lines=True),
        "parquet": lambda: frame.to_parquet(path),
    }[ending]()
    whole, later, inner, beyond, missing = predict_files(predictor, find_files([path]).files)
    inputs = np.round(signal * 32767) / 32768
    for result, first, last in ((whole, 0, 32_000), (later, 16_000, 32_000), (inner, 4_000, 16_000)):
        assert result.prediction is not None
        assert result.prediction.duration_sec == (last - first) / 16_000
        expected = predictor.predict(inputs[first:last].astype(np.float32)).probabilities["emotion"]
        assert result.prediction.probabilities["emotion"] == pytest.approx(expected, abs=1e-3)
    assert (later.start, later.end, inner.start, inner.end) == (1.0, None, 0.25, 1.0)
    assert (beyond.code, beyond.error) == ("too_short", "starts at 5 s, where the recording has ended")
    assert (missing.code, missing.start, missing.end) == ("unreadable", 0.0, 1.0)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_times_may_be_those_of_audformat(tmp_path: Path, ending: str) -> None:
    import pandas

    times = pandas.to_timedelta([0.5, 90_061.25, None], unit="s")
    frame = pandas.DataFrame({"file": ["a.wav", "b.wav", "c.wav"], "start": times, "end": times + times[0]})
    path = tmp_path / f"db.files.{ending}"
    frame.to_csv(path, index=False) if ending == "csv" else frame.to_parquet(path)
    found = [(file.start, file.end) for file in find_files([path]).files]
    assert found == [(0.5, 1.0), (90_061.25, 90_061.75), (None, None)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name\na.wav\n", "has no column 'file'; its columns: name; call the one"),
        ("file,start\na.wav,x\n", "row 1 has start 'x', which is no number of seconds"),
        ("file,start\na.wav,-1\n", "row 1 has start '-1', which is no number"),
        ("file,end\na.wav,nan\n", "row 1 has end 'nan', which is no number"),
        ("file,start,end\na.wav,1,2\na.wav,2,2\n", "row 2 ends at 2.0 s, which is not after its start"),
        ("file\n" + 5 * "a.wav\n" + 'x,"', "has 2 cells|is not a table"),
        ("file,end\n" + 5 * "a.wav,0\n", "row 3 ends at 0.0 s, which is not after its start and 2 more"),
    ],
)
def test_a_table_that_is_wrong_says_where(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        names(tmp_path / "t.csv")
    assert "\n" not in str(caught.value)


@pytest.fixture
def bucket(clips: Path) -> Iterator[str]:
    """The clips in the memory of this process."""
    system = fsspec.filesystem("memory")
    for file in clips.rglob("*"):
        if file.is_file():
            system.pipe(f"/bucket/{file.relative_to(clips).as_posix()}", file.read_bytes())
    yield "memory://bucket"
    system.rm("/bucket", recursive=True)


def test_a_url_answers_as_its_files_on_disk_do(bucket: str, clips: Path, predictor: emotions.Predictor) -> None:
    found = find_files([bucket])
    assert [file.name for file in found.files] == names(clips)
    assert found.skipped == 1
    assert [*predictor.predict_folder(bucket)] == [*predictor.predict_folder(clips)]
    assert names(f"{bucket}/b/**/*.wav") == ["a.wav", "c/нова\nя.wav", "😀 [x].wav"]
    assert names(f"{bucket}/a.wav") == ["a.wav"]
    assert names(f"file://{clips}") == names(clips)
    assert len(find_files([bucket, clips]).files) == 12


def test_a_url_whose_content_changes_has_another_stamp(bucket: str) -> None:
    (before,) = find_files([f"{bucket}/a.wav"]).files
    fsspec.filesystem("memory").pipe("/bucket/a.wav", b"other")
    (after,) = find_files([f"{bucket}/a.wav"]).files
    assert before.stamp != after.stamp


def test_what_a_url_does_not_give_is_told_in_one_line(
    bucket: str, predictor: emotions.Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match=r"none: no such file or folder"):
        find_files(["memory://none"])
    with pytest.raises(DataError, match=r"^http://127\.0\.0\.1:9/a\.wav: .*cannot be reached$"):
        find_files(["http://127.0.0.1:9/a.wav"])
    with pytest.raises(DataError, match=r"^nothing://x: nothing:// is not known"):
        find_files(["nothing://x"])
    with pytest.raises(MissingExtra, match=r"reads s3:// is not installed: .* 'remote'"):
        find_files(["s3://bucket/clips"])
    monkeypatch.setattr(remote, "MAX_BYTES", 2_000)
    gone, large = predict_files(
        predictor, [InputFile("memory://bucket/gone.wav", "gone.wav"), *find_files([f"{bucket}/a.wav"]).files]
    )
    assert (gone.code, gone.error) == ("unreadable", "cannot be read (/bucket/gone.wav)")
    assert large.code == "too_long"


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """Someone whom the permissions of files hold for."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_what_may_not_be_read_is_a_row(predictor: emotions.Predictor, tone: Tone, write_wav: WriteWav) -> None:
    with tempfile.TemporaryDirectory() as base:
        folder = Path(base)
        folder.chmod(0o755)
        write_wav(folder / "a.wav", tone())
        write_wav(folder / "b.wav", tone()).chmod(0)
        write_wav(folder / "private" / "c.wav", tone())
        (folder / "private").chmod(0)
        with unprivileged():
            results = [*predictor.predict_folder(folder)]
            with pytest.raises(DataError, match=r"private: cannot be read \(Permission denied\)"):
                find_files([folder / "private"])
        (folder / "private").chmod(0o755)
    assert [result.name for result in results] == ["a.wav", "b.wav", "private/"]
    assert [result.error for result in results] == [None, *["cannot be read (Permission denied)"] * 2]


def test_an_empty_folder_has_no_results(tmp_path: Path, predictor: emotions.Predictor) -> None:
    assert list[FileResult](predictor.predict_folder(tmp_path)) == []
