"""A suite's report as a page and on stdout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as TerminalTable

from emotions.files.from_here import from_here
from emotions.files.html.report import Part, Picture, Report, Section, Table, html
from emotions.files.html.svg_plots import Range, ranges
from training.evaluation.report.html import (
    FIGURES,
    class_table,
    facts_of,
    group_table,
    overall_table,
    pictures,
)
from training.evaluation.report.wording import shown, with_interval
from training.evaluation.suites.conclusion import suite_conclusion
from training.metrics.group_gap import UNCLEAR
from training.metrics.report_parts import recordings

_HEAD = ("test", "kind", "unchanged", "UAR", "UAR lost", "UAR gap", "verdict", "remark")


def suite_page(report: Mapping[str, Any], sounds: Mapping[str, str] | None = None) -> str:
    """A suite's report as HTML that needs nothing else.

    Args:
        report: content of ``report.json``.
        sounds: name of a recording -> where it lies, seen from the page, of those that the report names.
    """
    overall, tests = report["overall"], report["tests"]
    groups = {**overall["per_group"], overall.get("interval_over", "speaker"): overall["per_speaker"]}
    figures: list[Part] = [Table("Tests", *_filled(tests))] if tests else []
    figures += [overall_table(overall, ECE=f"{overall['ece']:.3f}"), class_table(overall)]
    if overall.get("surest_errors"):
        figures.append(recordings(overall["surest_errors"], sounds or {}, labels=overall["labels"]))
    return html(
        Report(
            f"Suite {report['suite']}",
            f"{report['model']}, {report['bundle']}",
            suite_conclusion(report),
            pictures=[Section("", [*_test_picture(tests), *pictures(overall)])],
            figures=[Section("", [*figures, *(group_table(f"By {name}", rows) for name, rows in groups.items())])],
            method=[f"protocol: {report['protocol']}", f"target: {report['target']}", *_limits(report)],
            facts={**facts_of(report), "variant": report["variant"]},
            command=report.get("command", ""),
            warnings=[report["protocol"]] if "too good" in report["protocol"] else [],
        )
    )


def _test_picture(tests: Sequence[Mapping[str, Any]]) -> Iterator[Part]:
    if any("uar" in test for test in tests):
        rows = sorted((Range(test["name"], test["uar"]) for test in tests), key=lambda row: row.value)
        yield Picture(ranges("UAR after each change of the sound", "UAR, of 100", rows), "The worst stands first.")


def _limits(report: Mapping[str, Any]) -> Iterator[str]:
    limits = report.get("limits", {})
    if report["suite"] == "robustness" and limits:
        yield (
            f"a small change passes where at least {limits['min_unchanged']:.0%} of the answers stay, any other where "
            f"UAR falls by at most {limits['max_uar_loss']:.3f}"
        )
    if report["suite"] == "fairness" and limits:
        yield f"a comparison passes where the groups' UAR differ by at most {limits['max_uar_gap']:.3f}"


def print_suite(report: Mapping[str, Any], page: Path) -> None:
    """Print the tests with their verdicts, the figures, and where the report lies."""
    overall, console = report["overall"], Console()
    if report["tests"]:
        table = TerminalTable(title=f"{report['suite']} of {shown(report['bundle'])}", title_justify="left")
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
        f"report: {from_here(page)}",
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
