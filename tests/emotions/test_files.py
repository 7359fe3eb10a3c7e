from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotions import files
from emotions.errors import ConfigError, OutputExists

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(value=json_values)
def test_json_survives_a_round_trip(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    path = tmp_path_factory.mktemp("json") / "value.json"
    files.write_json(path, value)
    assert files.read_json(path) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "a": 2}', "'a' stands twice"),
        ('{"a": NaN}', "NaN is not a JSON number"),
        ('{"a": -Infinity}', "-Infinity is not a JSON number"),
        ('{"a": 1,}', r"value\.json:1:\d: is not JSON"),
        ("", r"value\.json:1:1: is not JSON"),
        ("[" * 100_000, "nested too deep|is not JSON"),
    ],
)
def test_what_is_not_strict_json_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "value.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        files.read_json(path)


def test_a_missing_file_and_one_that_is_not_utf8_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.json: cannot be read \(No such file"):
        files.read_json(tmp_path / "none.json")
    (tmp_path / "latin.json").write_bytes(b'"\xe9"')
    with pytest.raises(ConfigError, match="is not UTF-8"):
        files.read_json(tmp_path / "latin.json")


def test_a_byte_order_mark_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "bom.json").write_text("\ufeff[1]", encoding="utf-8")
    assert files.read_json(tmp_path / "bom.json") == [1]


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "out" / "file.txt"
    with pytest.raises(RuntimeError, match="midway"), files.atomic_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("midway")
    assert list(path.parent.iterdir()) == []
    files.write_bytes(path, b"whole")
    assert path.read_bytes() == b"whole"
    assert [child.name for child in path.parent.iterdir()] == ["file.txt"]


def test_a_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    with pytest.raises(OSError, match="no space"), files.atomic_folder(path) as temporary:
        (temporary / "model").write_text("half")
        raise OSError("no space")
    assert list(tmp_path.iterdir()) == []
    with files.atomic_folder(path) as temporary:
        (temporary / "model").write_text("whole")
        assert not path.exists()
    assert (path / "model").read_text() == "whole"
    assert [child.name for child in tmp_path.iterdir()] == ["bundle"]


def test_an_existing_folder_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    with pytest.raises(OutputExists, match="is there already"), files.atomic_folder(tmp_path / "bundle"):
        pytest.fail("nothing may be computed for an output that cannot be written")


def test_a_folder_made_by_another_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    with pytest.raises(OutputExists, match="another process"), files.atomic_folder(path) as temporary:
        (temporary / "mine").touch()
        path.mkdir()
        (path / "theirs").touch()
    assert [child.name for child in path.iterdir()] == ["theirs"]


def test_the_cache_is_private_to_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EMOTIONS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    root = files.cache_root()
    assert root == tmp_path / "emotions"
    assert stat.S_IMODE(root.stat().st_mode) == 0o700


def test_sha256_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert files.sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
