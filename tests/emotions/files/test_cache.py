from __future__ import annotations

import stat
from pathlib import Path

import pytest

from emotions.files.cache import cache_root


def test_the_cache_is_private_to_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EMOTIONS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    root = cache_root()
    assert root == tmp_path / "emotions"
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
