from __future__ import annotations

from pathlib import Path

import pytest

from emotions.errors import ConfigError, OutputExists
from emotions.files.atomic import atomic_file, atomic_folder, check_csv, write_bytes


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "out" / "file.txt"
    with pytest.raises(RuntimeError, match="midway"), atomic_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("midway")
    assert list(path.parent.iterdir()) == []
    write_bytes(path, b"whole")
    assert path.read_bytes() == b"whole"
    assert [child.name for child in path.parent.iterdir()] == ["file.txt"]


def test_only_what_is_durable_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[int] = []
    monkeypatch.setattr("os.fsync", waited.append)
    for durable, times in ((False, 0), (True, 1)):
        with atomic_file(tmp_path / "a", durable=durable) as temporary:
            temporary.write_text("x")
        assert len(waited) == times


def test_a_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    with pytest.raises(OSError, match="no space"), atomic_folder(path) as temporary:
        (temporary / "model").write_text("half")
        raise OSError("no space")
    assert list(tmp_path.iterdir()) == []
    with atomic_folder(path) as temporary:
        (temporary / "model").write_text("whole")
        assert not path.exists()
    assert (path / "model").read_text() == "whole"
    assert [child.name for child in tmp_path.iterdir()] == ["bundle"]


def test_an_existing_folder_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    with pytest.raises(OutputExists, match="is there already"), atomic_folder(tmp_path / "bundle"):
        pytest.fail("nothing may be computed for an output that cannot be written")


def test_a_folder_made_by_another_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    with pytest.raises(OutputExists, match="another process"), atomic_folder(path) as temporary:
        (temporary / "mine").touch()
        path.mkdir()
        (path / "theirs").touch()
    assert [child.name for child in path.iterdir()] == ["theirs"]


def test_a_table_is_a_csv_file_and_replaces_none_unasked(tmp_path: Path) -> None:
    path = tmp_path / "labels.CSV"
    check_csv(path, overwrite=False)
    path.touch()
    check_csv(path, overwrite=True)
    with pytest.raises(OutputExists, match="is there already"):
        check_csv(path, overwrite=False)
    with pytest.raises(ConfigError, match=r"labels\.xlsx: the table ends with \.csv"):
        check_csv(tmp_path / "labels.xlsx", overwrite=True)
