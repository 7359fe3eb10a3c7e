"""An evaluation's report on stdout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from training.evaluation.report.wording import (
    calibration_line,
    choice_lines,
    choice_table,
    leak_lines,
    shown,
    with_interval,
)


def print_report(report: dict[str, Any], page: Path) -> None:
    """Print figures with intervals, the protocol, leaks and calibration, and where the report lies."""
    table = Table(title=f"{report['model']}, {len(report['seeds'])} seeds", title_justify="left")
    for heading in ("target", "UAR", "WA", "macro-F1"):
        table.add_column(heading)
    for heading in ("clips", "speakers"):
        table.add_column(heading, justify="right")
    for name, found in report["targets"].items():
        cells = [with_interval(found, figure) for figure in ("uar", "wa", "macro_f1")]
        table.add_row(name, *cells, str(found["clips"]), str(found["speakers"]))
    console = Console()
    console.print(table)
    if "choose" in report:
        head, rows = choice_table(report)
        choices = Table(*head)
        for row in rows:
            choices.add_row(*row)
        console.print(choices)
    lines = [f"protocol: {report['protocol']}", *choice_lines(report), *leak_lines(report["leaks"])]
    lines += [f"{name}: {calibration_line(found['calibration'])}" for name, found in report["targets"].items()]
    for line in [*lines, f"report: {page}"]:
        console.print(shown(line), markup=False, highlight=False, soft_wrap=True)
