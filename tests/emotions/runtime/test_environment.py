"""Numbers of environment variables: read, or refused by name."""

from __future__ import annotations

import pytest

from emotions.errors import ConfigError
from emotions.runtime.environment import number_of


@pytest.mark.parametrize(("named", "expected"), [(None, 5.0), ("", 5.0), ("2.5", 2.5), ("10", 10.0)])
def test_a_number_is_read(monkeypatch: pytest.MonkeyPatch, named: str | None, expected: float) -> None:
    monkeypatch.delenv("A_NUMBER", raising=False)
    if named is not None:
        monkeypatch.setenv("A_NUMBER", named)
    assert number_of("A_NUMBER", 5.0, most=10.0) == expected


@pytest.mark.parametrize("named", ["many", "0", "-1", "10.1", "nan", "inf"])
def test_what_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    monkeypatch.setenv("A_NUMBER", named)
    with pytest.raises(ConfigError, match=f"^A_NUMBER='{named}': must be seconds above 0, at most 10$"):
        number_of("A_NUMBER", 5.0, most=10.0, form="seconds")
