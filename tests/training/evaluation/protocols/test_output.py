"""The folder of an evaluation holds nothing of those that were killed."""

from __future__ import annotations

from pathlib import Path

from training.evaluation.protocols.output import alone_in


def test_what_a_killed_evaluation_left_of_its_report_is_removed(tmp_path: Path) -> None:
    for name in (".part-0123456789abcdef.html", "report.json"):
        (tmp_path / name).touch()
    with alone_in(tmp_path):
        assert not [*tmp_path.glob(".part-*")]
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
