"""The report as one page of HTML, its plots inside it."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from training.evaluation.report.plots import confusion_png, reliability_png, risk_png, table_png
from training.evaluation.report.wording import calibration_line, choice_lines, choice_table, leak_lines, with_interval

FIGURES = {"uar": "UAR", "wa": "WA", "macro_f1": "macro-F1"}
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2933; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.2rem; margin-top: 2.2rem; border-bottom: 1px solid #cbd2d9 }
h3 { font-size: 1rem; margin-top: 1.6rem }
table { border-collapse: collapse; margin: .6rem 0 } td, th { padding: .25rem .7rem; border-bottom: 1px solid #e4e7eb }
th { text-align: left; background: #f5f7fa } td.n { text-align: right; font-variant-numeric: tabular-nums }
.plots img { max-width: 100%; margin: .4rem .8rem .4rem 0; vertical-align: top } .warn { color: #c05621 }
"""


def page(report: Mapping[str, Any]) -> str:
    """A report as HTML that needs nothing else."""
    body = "\n".join([*_head(report), *(part for item in report["targets"].items() for part in _target(*item))])
    return document(f"{report['model']}: evaluation", body)


def document(name: str, body: str) -> str:
    """A page of HTML."""
    title = escape(name)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body>\n<h1>{title}</h1>\n{body}\n</body></html>\n"
    )


def _head(report: Mapping[str, Any]) -> Iterator[str]:
    yield f"<p><b>Protocol:</b> {escape(report['protocol'])}.</p>"
    seeds = ", ".join(map(str, report["seeds"]))
    facts = ", ".join(f"{value} {key}" for key, value in report["dataset"].items() if isinstance(value, int))
    shared = f"{len(report['folds'])} folds; seeds {escape(seeds)}: figures are means over the seeds"
    yield f"<p>{escape(facts)}; {shared}.</p>"
    for number, line in enumerate(leak_lines(report["leaks"])):
        yield f"<p{' class=warn' if number else ''}>{escape(line[0].upper() + line[1:])}.</p>"
    for line in choice_lines(report):
        yield f"<p>{escape(line[0].upper() + line[1:])}.</p>"
    if "choose" in report:
        yield html_table(*choice_table(report))
    yield (
        "<p>In brackets: 95 % confidence intervals, Student's t times the bootstrap's standard error over speakers, on "
        "the logit scale; of a single speaker, over clips.</p>"
    )


def _target(name: str, found: Mapping[str, Any]) -> Iterator[str]:
    yield f"<h2>{escape(name)}</h2>"
    yield html_table(
        [*FIGURES.values(), "clips", "speakers"],
        [[*(with_interval(found, figure) for figure in FIGURES), found["clips"], found["speakers"]]],
    )
    yield plots(confusion_png(name, found), table_png(found["per_speaker"]))
    yield "<h3>Classes</h3>"
    columns = ("recall", "precision", "f1")
    classes = found["per_class"].items()
    yield html_table(
        ["class", *columns, "clips"],
        [[label, *(with_interval(row, column) for column in columns), row["clips"]] for label, row in classes],
    )
    yield "<h3>Calibration</h3>"
    yield f"<p>{escape(calibration_line(found['calibration']))}.</p>"
    yield plots(reliability_png(found["calibration"]), risk_png(found["calibration"]["risk_coverage"]))
    for title, rows in {"Speakers": found["per_speaker"], **found["per_group"]}.items():
        yield f"<h3>{escape(title)}</h3>"
        yield group_table(rows)


def group_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Figures by group, or by speaker."""
    head = ["", *FIGURES.values(), "clips", "speakers", ""]
    return html_table(
        head,
        [
            [
                row["name"],
                *(with_interval(row, name) for name in FIGURES),
                row["clips"],
                row["speakers"],
                row.get("note", ""),
            ]
            for row in rows
        ],
    )


def html_table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table; numbers stand on the right."""

    def cell(value: Any) -> str:
        return f"<td{' class=n' if isinstance(value, int) else ''}>{escape(str(value))}</td>"

    lines = ["".join(f"<th>{escape(name)}</th>" for name in head), *("".join(map(cell, row)) for row in rows)]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def plots(*images: bytes) -> str:
    """Pictures, inside the page."""
    tags = [f'<img alt="plot" src="data:image/png;base64,{base64.b64encode(image).decode()}">' for image in images]
    return f'<div class="plots">{"".join(tags)}</div>'
