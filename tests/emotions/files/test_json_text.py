from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotions.errors import ConfigError
from emotions.files.json_text import read_json, write_json

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(value=json_values)
def test_json_survives_a_round_trip(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    path = tmp_path_factory.mktemp("json") / "value.json"
    write_json(path, value)
    assert read_json(path) == value


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
        read_json(path)


def test_a_missing_file_and_one_that_is_not_utf8_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.json: cannot be read \(No such file"):
        read_json(tmp_path / "none.json")
    (tmp_path / "latin.json").write_bytes(b'"\xe9"')
    with pytest.raises(ConfigError, match="is not UTF-8"):
        read_json(tmp_path / "latin.json")


def test_a_byte_order_mark_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "bom.json").write_text("\ufeff[1]", encoding="utf-8")
    assert read_json(tmp_path / "bom.json") == [1]
