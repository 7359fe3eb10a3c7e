"""Printed paths: from the working directory where they lie below it."""

from __future__ import annotations

from pathlib import Path

import pytest

from emotions.files.from_here import from_here


@pytest.mark.parametrize(
    ("given", "printed"),
    [
        ("runs/mine", "runs/mine"),
        ("{here}/runs/mine", "runs/mine"),
        ("{here}", "."),
        ("{here}-too/runs", "{here}-too/runs"),
        ("/elsewhere/runs", "/elsewhere/runs"),
    ],
)
def test_a_path_below_the_working_directory_is_printed_from_there(
    given: str, printed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert from_here(Path(given.format(here=tmp_path))) == Path(printed.format(here=tmp_path))
