from __future__ import annotations

from pathlib import Path

import pytest

from emotions.cli import main

GRID = '"ooTextFile" "TextGrid" 0 2 <exists> 1 "IntervalTier" "ann" 0 2 2 0 1 "sad" 1 2 ""'


def exit_code(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main([*map(str, arguments)])
    return int(ended.value.code or 0)


def test_a_textgrid_becomes_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.TextGrid").write_text(GRID)
    command = ("data", "import", tmp_path / "a.TextGrid", "--output", tmp_path / "t.csv")
    assert exit_code(*command) == 0
    assert capsys.readouterr().out.endswith("t.csv: 1 labels\n")
    assert (tmp_path / "t.csv").read_text() == "path,begin,end,label,rater\na.wav,0.0,1.0,sad,ann\n"
    assert exit_code(*command) == 2
    assert "t.csv: is there already" in capsys.readouterr().err
    assert exit_code(*command, "--overwrite") == 0
    assert exit_code(*command[:-1], tmp_path / "t.doc") == 2
    assert exit_code(*command, "--overwrite", "--tier", "b*") == 2
    assert "no label is found in these files" in capsys.readouterr().err
