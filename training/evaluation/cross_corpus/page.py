"""The report of an evaluation across corpora as one page of HTML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from emotions.files.html.report import Matrix, Part, Picture, Report, Section, Table, html
from emotions.files.html.svg_plots import heat_map
from training.evaluation.report.html import FIGURES, facts_of
from training.evaluation.report.wording import leak_lines, teacher_lines, with_interval

OTHERS = "all others"
_READ = (
    "Each row is what a model was trained on, each column what it was tested on, UAR of 100. Where both are the same, "
    "each speaker was tested by a model of the others."
)


def grid(
    corpora: Sequence[Mapping[str, Any]], cells: Sequence[Mapping[str, Any]]
) -> tuple[list[str], list[list[float | None]]]:
    """Names of the rows and the UAR of each cell; None where it was not measured. The last row is of all others.

    Args:
        corpora: entries ``corpora`` of the report.
        cells: entries ``cells`` of a target.
    """
    names = [corpus["name"] for corpus in corpora]
    found = {(_row(cell), cell["tested_on"]): cell["uar"] for cell in cells}
    rows = [*names, *([OTHERS] if any(len(cell["trained_on"]) > 1 for cell in cells) else [])]
    return rows, [[found.get((row, column)) for column in names] for row in rows]


def _row(cell: Mapping[str, Any]) -> str:
    return str(cell["trained_on"][0]) if len(cell["trained_on"]) == 1 else OTHERS


def page(report: Mapping[str, Any]) -> str:
    """A report as HTML that needs nothing else.

    Args:
        report: content of ``report.json``.
    """
    leaks, taught = leak_lines(report["leaks"]), teacher_lines(report)
    seeds = ", ".join(map(str, report["seeds"]))
    untold = [
        f"{corpus['name']} is not tested by folds of its own: {corpus['not_tested_within']}"
        for corpus in report["corpora"]
        if "not_tested_within" in corpus
    ]
    missing = [f"trained {report['missing']}"] if "missing" in report else []
    return html(
        Report(
            "Evaluation",
            f"{report['model']}, {report['dataset']['name']}",
            [_conclusion(target, found) for target, found in report["targets"].items()],
            pictures=[
                Section("", [*_pictures(target, report["corpora"], found["cells"])])
                for target, found in report["targets"].items()
            ],
            figures=[
                Section("", [_cell_table(found["cells"]), _label_table(report["corpora"])])
                for found in report["targets"].values()
            ],
            method=[
                f"protocol: {report['protocol']}",
                f"seeds {seeds}: figures are means over the seeds; ECE and NLL are after the calibration on validation "
                "speakers of the corpora that were trained on",
                "labels are matched by their meaning; those that a corpus lacks are left out of all; speakers of two "
                "corpora are two, whatever they are called",
                leaks[0],
                *taught[:1],
            ],
            facts=facts_of(report),
            command=report.get("command", ""),
            warnings=[*missing, *untold, *leaks[1:], *taught[1:]],
        )
    )


def _conclusion(target: str, found: Mapping[str, Any]) -> str:
    told = {
        "new speakers of the corpus that it was trained on": found["within"],
        "another corpus": found["across"],
        "a corpus, trained on all the others": found["left_out"],
    }
    shares = "; ".join(f"{100 * value:.0f} of {name}" for name, value in told.items() if value is not None)
    return f"Of 100 recordings about so many are right ({target}, each class counted alike, means): {shares}."


def _pictures(target: str, corpora: Sequence[Mapping[str, Any]], cells: Sequence[Mapping[str, Any]]) -> Iterator[Part]:
    rows, values = grid(corpora, cells)
    columns = [corpus["name"] for corpus in corpora]
    yield Picture(heat_map(f"UAR across corpora, {target}", ("trained on", "tested on"), rows, columns, values), _READ)
    worst = min((cell for cell in cells if cell["kind"] != "within"), key=lambda cell: float(cell["uar"]))
    title = f"What is taken for what: {_row(worst)} to {worst['tested_on']}, the lowest UAR"
    yield Matrix(title, worst["labels"], worst["confusion"])


def _cell_table(cells: Sequence[Mapping[str, Any]]) -> Table:
    head = ["trained on", "tested on", *FIGURES.values(), "ECE", "NLL", "recordings", "speakers"]
    rows = [
        [
            " + ".join(cell["trained_on"]),
            cell["tested_on"],
            *(with_interval(cell, figure) for figure in FIGURES),
            *(f"{cell[name]:.3f}" for name in ("ece", "nll")),
            cell["clips"],
            cell["speakers"],
        ]
        for cell in cells
    ]
    return Table("Each pair", head, rows)


def _label_table(corpora: Sequence[Mapping[str, Any]]) -> Table:
    """The labels of each corpus with their own names, and those that were left out."""
    words = [*corpora[0]["labels"]]
    rows = []
    for corpus in corpora:
        known = (corpus["labels"][word] for word in words)
        cells = (
            f"{each['clips']}" + (f" ({each['called']})" if each["called"] != word else "")
            for word, each in zip(words, known, strict=True)
        )
        left = ", ".join(f"{label} ({count})" for label, count in corpus["left_out"].items())
        rows.append([corpus["name"], *cells, "–" if corpus["speakers"] is None else corpus["speakers"], left])
    note = "recordings of each label, with the corpus's own name for it where that is another"
    return Table("The corpora", ["corpus", *words, "speakers", "left out"], rows, [note])
