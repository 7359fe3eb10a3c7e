from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from emotions.calls.formats import table
from emotions.calls.formats.annotation import Annotation
from emotions.calls.formats.elan import elan
from emotions.calls.formats.table import import_labels
from emotions.calls.formats.textgrid import textgrid
from emotions.errors import DataError
from tests.emotions.calls.formats.conftest import HOSTILE
from tests.emotions.calls.formats.test_label_studio import EXPORT


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_annotations_of_three_tools_in_one_table(annotation: Annotation, tmp_path: Path) -> None:
    folder = tmp_path / "annotated"
    folder.mkdir()
    (folder / "call.TextGrid").write_bytes(textgrid(annotation).encode("utf-16"))
    (folder / "call.flac").touch()
    (folder / "other.eaf").write_text(elan(annotation), encoding="utf-8")
    (folder / "export.json").write_text(json.dumps(EXPORT))
    files = [folder / name for name in ("call.TextGrid", "other.eaf", "export.json")]
    count = import_labels(files, tmp_path / "table.csv", ["*emotion", "all"])
    found = rows(tmp_path / "table.csv")
    assert len(found) == count == 4 + 4 + 3 + 1 + 1 + 2
    assert [*found[0]] == ["path", "begin", "end", "label", "rater"]
    assert {row["path"] for row in found[:4]} == {"annotated/call.flac"}
    assert {row["rater"] for row in found[:4]} == {tier.name for tier in annotation.tiers if tier.target == "emotion"}
    assert (found[0]["begin"], found[0]["end"]) == ("0.1", "2.0")
    assert all(row["label"] == annotation.tiers[0].intervals[0].label for row in found[:8])
    assert HOSTILE.split()[0] in found[0]["label"]
    assert {(row["path"], row["rater"]) for row in found[4:8]} == {("call.wav", "tiny@1")}
    assert found[8:10] == [
        {"path": "a call.wav", "begin": "0.5", "end": "1.5", "label": "sad", "rater": "4"},
        {"path": "a call.wav", "begin": "2.0", "end": "3.0", "label": "calm", "rater": "4"},
    ]
    assert found[11] == {"path": "calls/b.wav", "begin": "", "end": "", "label": "sad", "rater": "4"}


def test_a_recording_that_leads_elsewhere_stays_as_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "secret.wav").touch()
    tasks = [
        {**EXPORT[3], "audio": name} for name in ("../secret.wav", str(tmp_path / "secret.wav"), "https://x/secret.wav")
    ]
    (tmp_path / "inner" / "e.json").write_text(json.dumps(tasks))
    import_labels([tmp_path / "inner" / "e.json"], tmp_path / "t.csv")
    assert [row["path"] for row in rows(tmp_path / "t.csv")][::2] == [task["audio"] for task in tasks]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.txt", b"", "no file of annotations by its ending"),
        ("a.json", b"{", "is not JSON"),
        ("a.json", b"[" * 500 + b"]" * 500, "nested too deep"),
        ("a.json", b"[]", "no label is found"),
        ("a.TextGrid", b"\xff\xff", "cannot be decoded"),
        (
            "a.TextGrid",
            b'"ooTextFile" "TextGrid" 0 1 <exists> 1 "IntervalTier" "t" 0 1 1 3 1 "x"',
            "an interval from 3",
        ),
        ("a.eaf", b"<a>", "is not XML"),
    ],
)
def test_what_cannot_be_read_is_refused_and_nothing_is_written(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=reason):
        import_labels([tmp_path / name], tmp_path / "t.csv")
    assert not (tmp_path / "t.csv").exists()


def test_large_and_missing_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.json").write_bytes(b"[]" + bytes(99))
    monkeypatch.setattr(table, "MAX_BYTES", 100)
    with pytest.raises(DataError, match="has more than 100 bytes"):
        import_labels([tmp_path / "a.json"], tmp_path / "t.csv")
    with pytest.raises(DataError, match="No such file"):
        import_labels([tmp_path / "b.json"], tmp_path / "t.csv")
