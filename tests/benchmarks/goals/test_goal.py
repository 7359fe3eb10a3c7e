"""Figures beside what is wanted of them."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import main
from benchmarks.goals.goal import Goal, table


@pytest.mark.parametrize(
    ("goal", "row"),
    [
        (Goal("x", 0.912, "", 0.9, at_least=True), "| x | 0.912 | at least 0.9 | yes |"),
        (Goal("x", 0.85, "", 0.9, True, 0.8, 0.95), "| x | 0.85 (0.8 to 0.95) | at least 0.9 | **no** |"),
        (Goal("x", 312.4, "MiB", 260), "| x | 312 MiB | at most 260 | **no** |"),
        (Goal("x", 0.19, "s", 0.25), "| x | 0.19 s | at most 0.25 | yes |"),
        (Goal("x", 3, "times"), "| x | 3 times |  |  |"),
    ],
)
def test_a_row_says_whether_a_goal_is_met(goal: Goal, row: str) -> None:
    assert [*table([goal])][-1] == row


@pytest.mark.parametrize("sizes", ["3000", "30,20", "5,5"])
def test_sizes_have_to_rise(sizes: str) -> None:
    import typer

    app = typer.Typer()
    app.command()(main)
    done = CliRunner().invoke(app, ["corpora", "--sizes", sizes])
    assert done.exit_code == 2
    assert "rising" in done.output
