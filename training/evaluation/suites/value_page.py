"""A suite's report on dimensions as a page and on stdout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from emotions.files.from_here import from_here
from emotions.files.html.report import Part, Report, Section, html
from training.evaluation.report.html import facts_of, robustness_table
from training.evaluation.report.value_parts import value_lines, value_pictures, value_tables
from training.evaluation.report.wording import shown
from training.metrics.dimension_report import dimension_conclusions


def value_page(report: Mapping[str, Any]) -> str:
    """A suite's report as HTML that needs nothing else.

    Args:
        report: content of ``report.json``.
    """
    limits, tests = report["limits"], report["tests"]
    rule = (
        f"a small change passes where at least {limits['min_unchanged']:.0%} of the values move by at most "
        f"{limits['max_value_change']:.0%} of the range, any other where CCC falls by at most "
        f"{limits['max_ccc_loss']:.2f}"
    )
    figures: list[Part] = [robustness_table(tests, "Tests")] if tests else []
    return html(
        Report(
            f"Suite {report['suite']}",
            f"{report['model']}, {report['bundle']}",
            [*_conclusion(report)],
            pictures=[Section("", [*value_pictures(report["target"], report["overall"])])],
            figures=[Section("", [*figures, *value_tables(report["overall"])])],
            method=[f"protocol: {report['protocol']}", f"target: {report['target']}", *([rule] if tests else [])],
            facts={**facts_of(report), "variant": report["variant"]},
            command=report["command"],
            warnings=[report["protocol"]] if "too good" in report["protocol"] else [],
        )
    )


def _conclusion(report: Mapping[str, Any]) -> Iterator[str]:
    tests = report["tests"]
    if tests:
        passed, worst = sum(test["passed"] for test in tests), max(tests, key=lambda test: float(test["ccc_loss"]))
        yield (
            f"{passed} of {len(tests)} changes of the sound leave it as good as before; the worst, {worst['name']}, "
            f"costs {worst['ccc_loss']:.2f} of CCC."
        )
    whose = "that it was partly trained on" if "too good" in report["protocol"] else "of a new speaker"
    yield from dimension_conclusions({report["target"]: report["overall"]}, whose)


def print_value_suite(report: Mapping[str, Any], page: Path) -> None:
    """Print the figures, the tests that are not passed, and where the report lies.

    Args:
        report: content of ``report.json``.
        page: path of the HTML page.
    """
    console, tests = Console(), report["tests"]
    failed = [
        f"FAIL: {test['name']}: {test['unchanged']:.1%} unchanged, CCC {test['ccc']:.3f}"
        for test in tests
        if not test["passed"]
    ]
    verdict = [f"{len(tests) - len(failed)} of {len(tests)} tests passed"] if tests else []
    lines = [*value_lines(report["target"], report["overall"]), f"protocol: {report['protocol']}", *failed, *verdict]
    for line in [*lines, f"report: {from_here(page)}"]:
        console.print(shown(line), markup=False, highlight=False, soft_wrap=True)
