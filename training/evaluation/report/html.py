"""The report as one page of HTML, its plots inside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from emotions.html.page import render
from training.evaluation.report.plots import confusion_png, reliability_png, risk_png, table_png
from training.evaluation.report.wording import calibration_line, choice_lines, choice_table, leak_lines, with_interval

FIGURES = {"uar": "UAR", "wa": "WA", "macro_f1": "macro-F1"}
_OF_A_CLASS = ("recall", "precision", "f1")

Table = tuple[Sequence[str], Sequence[Sequence[Any]]]
"""Titles and rows."""


def page(report: Mapping[str, Any]) -> str:
    """A report as HTML that needs nothing else."""
    return render(
        "evaluation.html",
        title=f"{report['model']}: evaluation",
        report=report,
        facts=", ".join(f"{value} {key}" for key, value in report["dataset"].items() if isinstance(value, int)),
        leaks=leak_lines(report["leaks"]),
        choices=choice_lines(report),
        choice_table=choice_table(report) if "choose" in report else None,
        targets=[_target(*item) for item in report["targets"].items()],
    )


def _target(name: str, found: Mapping[str, Any]) -> dict[str, Any]:
    calibration = found["calibration"]
    return {
        "name": name,
        "overall": (
            [*FIGURES.values(), "clips", "speakers"],
            [[*_cells(found, FIGURES), found["clips"], found["speakers"]]],
        ),
        "pictures": [confusion_png(name, found), table_png(found["per_speaker"])],
        "classes": (
            ["class", *_OF_A_CLASS, "clips"],
            [[label, *_cells(row, _OF_A_CLASS), row["clips"]] for label, row in found["per_class"].items()],
        ),
        "calibration": calibration_line(calibration),
        "calibration_pictures": [reliability_png(calibration), risk_png(calibration["risk_coverage"])],
        "groups": {
            title: group_table(rows) for title, rows in {"Speakers": found["per_speaker"], **found["per_group"]}.items()
        },
    }


def group_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Figures by group, or by speaker."""
    return (
        ["", *FIGURES.values(), "clips", "speakers", ""],
        [[row["name"], *_cells(row, FIGURES), row["clips"], row["speakers"], row.get("note", "")] for row in rows],
    )


def _cells(found: Mapping[str, Any], figures: Iterable[str]) -> list[str]:
    return [with_interval(found, figure) for figure in figures]
