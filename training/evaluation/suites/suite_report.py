"""A suite's report as a page and on stdout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from emotions.html.page import render
from training.evaluation.report.html import FIGURES, group_table
from training.evaluation.report.plots import confusion_png
from training.evaluation.report.wording import shown, with_interval
from training.metrics.group_gap import UNCLEAR

_HEAD = ("test", "kind", "unchanged", "UAR", "UAR loss", "UAR gap", "verdict", "")


def suite_page(report: Mapping[str, Any]) -> str:
    """A suite's report as HTML that needs nothing else."""
    overall = report["overall"]
    figures = [*(with_interval(overall, name) for name in FIGURES), f"{overall['ece']:.3f}", overall["clips"]]
    groups = {**overall["per_group"], "Speakers": overall["per_speaker"]}
    return render(
        "suite.html",
        title=f"{report['model']}: {report['suite']}",
        report=report,
        overall=([*FIGURES.values(), "ECE", "clips"], [figures]),
        tests=_filled(report["tests"]) if report["tests"] else None,
        pngs=[confusion_png(report["target"], overall)],
        groups={name: group_table(rows) for name, rows in groups.items()},
    )


def print_suite(report: Mapping[str, Any], page: Path) -> None:
    """Print the tests with their verdicts, the figures, and where the report lies."""
    overall, console = report["overall"], Console()
    if report["tests"]:
        table = Table(title=f"{report['suite']} of {shown(report['bundle'])}", title_justify="left")
        head, rows = _filled(report["tests"])
        for title in head:
            table.add_column(title)
        for row in rows:
            table.add_row(*map(shown, row))
        console.print(table)
    figures = ", ".join(f"{title} {with_interval(overall, name)}" for name, title in FIGURES.items())
    passed, every = sum(test["passed"] for test in report["tests"]), len(report["tests"])
    verdict = [f"{passed} of {every} tests passed"] if every else []
    for line in (
        f"{report['target']}: {figures}, {overall['clips']} clips",
        f"protocol: {report['protocol']}",
        *verdict,
        f"report: {page}",
    ):
        console.print(shown(line), markup=False, highlight=False, soft_wrap=True)


def _filled(tests: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Titles and rows, without the columns that no test fills."""
    rows = [_row(test) for test in tests]
    filled = [column for column in range(len(_HEAD)) if any(row[column] for row in rows)]
    return [_HEAD[column] for column in filled], [[row[column] for column in filled] for row in rows]


def _row(test: Mapping[str, Any]) -> list[str]:
    def share(name: str, form: str) -> str:
        return format(test[name], form) if name in test else ""

    figures = [share("unchanged", ".1%"), share("uar", ".3f"), share("uar_loss", "+.3f"), share("uar_gap", ".3f")]
    return [test["name"], test["kind"], *figures, _verdict(test), test.get("note", "")]


def _verdict(test: Mapping[str, Any]) -> str:
    unclear = not test["passed"] and test.get("verdict") == UNCLEAR
    return UNCLEAR if unclear else "pass" if test["passed"] else "FAIL"
