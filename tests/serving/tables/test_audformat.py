"""Predictions as a database in audformat."""

from __future__ import annotations

import warnings
from dataclasses import replace
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyarrow import parquet

from emotions.bundle.bundle import read_bundle
from emotions.errors import DataError, MissingExtra, OutputExists
from emotions.inputs.input_file import InputFile
from serving.batch.options import Options
from serving.batch.predict import predict_to_table
from serving.tables import audformat as database
from serving.tables.audformat import check_database, database_of
from serving.tables.columns import AUDFORMAT, columns
from serving.tables.writer import part_ending
from tests.conftest import TINY_TARGETS, Tone, WriteWav

SEGMENTS = "file,start,end\nб 😀.wav,0.5,1.25\nб 😀.wav,,\nnone.wav,,2\n"


def options(**given: Any) -> Options:
    return Options(device="cpu", threads=1, quiet=True, **given)


@pytest.fixture
def clips(tmp_path: Path, tone: Tone, write_wav: WriteWav) -> Path:
    write_wav(tmp_path / "clips" / "a" / "1.wav", tone(0.7, 300))
    write_wav(tmp_path / "clips" / "б 😀.wav", tone(1.6, 900))
    (tmp_path / "clips" / "cut.wav").write_bytes(b"")
    (tmp_path / "segments.csv").write_text(SEGMENTS)
    (tmp_path / "б 😀.wav").symlink_to(tmp_path / "clips" / "б 😀.wav")
    return tmp_path


def loaded(folder: Path) -> Any:
    """The table as audformat reads it, its index checked."""
    import audformat

    frame = audformat.Database.load(folder)["predictions"].get()
    audformat.utils.to_segmented_index(frame.index)  # raises where it does not conform
    return frame


def read(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Header and rows of a database, its layout checked: by audformat's own reader where that is installed."""
    assert sorted(file.name for file in folder.iterdir()) == ["db.predictions.parquet", "db.yaml"]
    document = yaml.safe_load((folder / "db.yaml").read_text(encoding="utf-8"))
    rows = parquet.read_table(folder / "db.predictions.parquet").to_pylist()
    table = document["tables"]["predictions"]
    index = ["file", "start", "end"] if table["type"] == "segmented" else ["file"]
    assert [*rows[0]] == [*index, *table["columns"]]
    if find_spec("audformat"):
        with warnings.catch_warnings(action="ignore"):  # audformat's own, of its use of pandas
            frame = loaded(folder)
        assert [*frame.columns] == [*table["columns"]]
        assert [*frame["emotion"].cat.categories] == TINY_TARGETS["emotion"]
        assert frame["emotion.sad"].notna().sum() == sum(row["error"] is None for row in rows)
        assert [*frame.index.names] == index
    return document, rows


def test_files_are_a_table_by_file(tiny_bundle: Path, clips: Path) -> None:
    predict_to_table([clips / "clips"], tiny_bundle, clips / "out" / "p.audformat", options())
    document, rows = read(clips / "out" / "p.audformat")
    assert document["tables"]["predictions"]["type"] == "filewise"
    assert document["schemes"]["emotion"] == {"dtype": "str", "labels": TINY_TARGETS["emotion"]}
    assert document["tables"]["predictions"]["columns"]["state"] == {"scheme_id": "state", "rater_id": "model"}
    assert [row["file"] for row in rows] == ["a/1.wav", "cut.wav", "б 😀.wav"]
    first, cut, _ = rows
    assert first["emotion"] == max(TINY_TARGETS["emotion"], key=lambda label: first[f"emotion.{label}"])
    assert first["duration"] == timedelta(seconds=0.7)
    assert (cut["emotion"], cut["confidence"], cut["duration"]) == (None, None, None)
    assert cut["error"] == "not_audio: is empty"


def test_windows_and_segments_are_tables_by_file_start_and_end(tiny_bundle: Path, clips: Path) -> None:
    second = timedelta(seconds=1)
    predict_to_table([clips / "clips"], tiny_bundle, clips / "w.audformat", options(windows=True))
    document, rows = read(clips / "w.audformat")
    assert document["tables"]["predictions"]["type"] == "segmented"
    assert [(row["file"], row["start"] / second) for row in rows] == [
        ("a/1.wav", 0.0),
        ("a/1.wav", 0.2),
        ("cut.wav", 0.0),
        *(("б 😀.wav", start) for start in (0.0, 0.5, 1.0, 1.1)),
    ]
    predict_to_table([clips / "segments.csv"], tiny_bundle, clips / "s.audformat", options())
    _, rows = read(clips / "s.audformat")
    spans = [(row["file"], row["start"] / second, row["end"] and row["end"] / second) for row in rows]
    assert spans == [("б 😀.wav", 0.5, 1.25), ("б 😀.wav", 0.0, 1.6), ("none.wav", 0.0, 2.0)]


def test_a_killed_run_goes_on_and_another_replaces_it(
    tiny_bundle: Path, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = clips / "p.audformat"
    given = options(chunk_files=1, windows=True)
    predict_to_table([clips / "clips"], tiny_bundle, clips / "whole.audformat", given)

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(database, "replaced_folder", stop)
        predict_to_table([clips / "clips"], tiny_bundle, output, given)
    assert not output.exists()
    (clips / "clips" / "cut.wav").write_bytes(b"RIFF")
    totals = predict_to_table([clips / "clips"], tiny_bundle, output, replace(given, resume=True))
    assert totals.resumed_files == 2
    (clips / "clips" / "cut.wav").write_bytes(b"")
    predict_to_table([clips / "clips"], tiny_bundle, output, replace(given, overwrite=True))
    for name in ("db.yaml", "db.predictions.parquet"):
        assert (output / name).read_bytes() == (clips / "whole.audformat" / name).read_bytes()
    assert not [file for file in clips.iterdir() if file.name.startswith(".")]


def test_rows_that_would_share_an_index_are_refused(tiny_bundle: Path) -> None:
    bundle = read_bundle(tiny_bundle)
    one, two, three = (InputFile("a.wav", "a.wav", *times) for times in ((None, 2.0), (1.0, 3.0), (2.0, None)))
    with pytest.raises(DataError, match=r"^a\.wav: stands twice, which"):
        database_of(bundle, [one, three, one], windows=False)
    database_of(bundle, [one, two, three], windows=False)
    database_of(bundle, [three, one], windows=True)
    with pytest.raises(DataError, match=r"^a\.wav: has segments that overlap, which"):
        database_of(bundle, [three, two, one], windows=True)


def test_a_database_of_nothing_and_odd_labels_is_whole(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = read_bundle(tiny_bundle)
    join = database_of(bundle, [InputFile("a.wav", "a.wav")], windows=False)
    join([], tmp_path / "p.audformat", columns(bundle.manifest.targets, embeddings=True))
    document = yaml.safe_load((tmp_path / "p.audformat" / "db.yaml").read_text(encoding="utf-8"))
    assert document["schemes"]["embedding"] == {"dtype": "object"}
    assert parquet.read_table(tmp_path / "p.audformat" / "db.predictions.parquet").num_rows == 0
    targets = {"no": ["yes", "1", "emotion.гнев", "a: b", "😀\n"]}
    odd = replace(bundle, manifest=bundle.manifest.model_copy(update={"targets": targets}))
    database_of(odd, [InputFile("a.wav", "a.wav")], windows=True)([], tmp_path / "odd.audformat", columns(targets))
    document = yaml.safe_load((tmp_path / "odd.audformat" / "db.yaml").read_text(encoding="utf-8"))
    assert document["schemes"]["no"]["labels"] == targets["no"]


def test_what_is_in_the_way_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert part_ending(tmp_path / "p.AUDFORMAT") == ".parquet"
    (tmp_path / f"p{AUDFORMAT}").mkdir()
    (tmp_path / f"p{AUDFORMAT}" / "db.files.csv").touch()
    with pytest.raises(OutputExists, match=r"holds other things \(db\.files\.csv\); name another output"):
        check_database(tmp_path / f"p{AUDFORMAT}")
    monkeypatch.setattr(database, "find_spec", lambda name: None if name == "yaml" else True)
    with pytest.raises(MissingExtra, match="'serve'"):
        check_database(tmp_path / "q.audformat")
