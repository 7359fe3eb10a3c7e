"""Metrics of a report as text, for the HTML page, the terminal and the model card."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from emotions.errors import plain as shown
from emotions.files.from_here import from_here
from training.evaluation.report.value_parts import value_lines
from training.features.teacher.wording import teacher_line, teacher_warnings
from training.metrics.agreement import agreement_line
from training.metrics.calibration import DID_NOT_HELP, HELPED, UNCLEAR
from training.metrics.conclusion import says_something
from training.metrics.distributions import distance_line

__all__ = [
    "calibration_line",
    "choice_lines",
    "choice_table",
    "comparison_line",
    "figure_of",
    "leak_lines",
    "robustness_line",
    "shown",
    "teacher_lines",
    "with_interval",
]


_EFFECTS = {HELPED: "helped", DID_NOT_HELP: "did NOT help", UNCLEAR: "may have helped or not, which cannot be told,"}


def with_interval(found: Mapping[str, Any], name: str) -> str:
    """``0.851 (0.781-0.912)``: a metric in ``found`` by its name, and its ``_ci``; a dash where it is unknown.

    An interval that says nothing is told as ``too few to tell``.
    """
    value, bounds = found.get(name), found.get(f"{name}_ci")
    if value is None:
        return "–"
    if bounds is None:
        return f"{value:.3f}"
    told = f"{bounds[0]:.3f}-{bounds[1]:.3f}" if says_something(bounds) else "too few to tell"
    return f"{value:.3f} ({told})"


def leak_lines(leaks: Mapping[str, Any]) -> list[str]:
    """Lines on what the parts share."""
    found, allowed = leaks["found"], leaks["allowed"]
    named = [f"{kind}: {'not known' if count is None else count}" for kind, count in found.items()]
    missed = "copies at another speed or in an echoing room may be missed"
    lines = [f"on both sides of the split: {', '.join(named)}; {missed}"]
    if any(found.get(kind) for kind in allowed):
        lines.append(f"leaks were allowed ({', '.join(allowed)}): the figures are optimistic")
    if found.get("voice"):
        pairs = f"{found['voice']} pairs; emotions data check names them"
        lines.append(f"speakers on both sides sound like one person ({pairs}): the figures may be optimistic")
    return lines


def teacher_lines(report: Mapping[str, Any]) -> list[str]:
    """What taught the model, and a warning where the figures may be too good for it; empty where nothing did."""
    teacher = report.get("teacher")
    return [] if teacher is None else [teacher_line(teacher), *teacher_warnings(teacher)]


def choice_lines(report: Mapping[str, Any]) -> list[str]:
    """Lines on the nested selection; empty where there was none."""
    choice = report.get("choose")
    if choice is None:
        return []
    chosen = [fold["chosen"]["candidate"] for fold in report["folds"]]
    head = (
        f"each fold chose its model by the mean {_inner(report)} of {choice['target']} over {choice['folds']} inner "
        f"folds of the groups that it trains on, with seed {choice['seed']}; all seeds are trained with it"
    )
    named = [", ".join(_changes(each)) or "the step as it is" for each in choice["candidates"]]
    return [head, *(f"candidate {n}, chosen by {chosen.count(n)}: {each}" for n, each in enumerate(named, 1))]


def _changes(changes: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in changes.items():
        if isinstance(value, Mapping):
            yield from _changes(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key} {value}"


def choice_table(report: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the nested selection: the fold, its candidate, and the inner UAR of all candidates."""
    head = [
        "fold",
        "chosen",
        *(f"inner {_inner(report)} of {n}" for n, _ in enumerate(report["choose"]["candidates"], 1)),
    ]
    chosen = [fold["chosen"] for fold in report["folds"]]
    rows = [
        [str(number), str(each["candidate"]), *(f"{uar:.3f}" for uar in each["inner_uar"])]
        for number, each in enumerate(chosen, 1)
    ]
    return head, rows


def _inner(report: Mapping[str, Any]) -> str:
    """What the folds chose by."""
    found = report["targets"].get(report["choose"]["target"], {})
    return "CCC" if "dimensions" in found else "UAR"


def figure_of(tests: Sequence[Mapping[str, Any]]) -> str:
    """The figure that tests on altered recordings are judged by: ``uar``, or ``ccc`` of dimensions."""
    return "ccc" if any("ccc" in test for test in tests) else "uar"


def calibration_line(calibration: Mapping[str, Any]) -> str:
    """Whether the temperature helped on held-out speakers, with the figures before and after."""
    figures = [
        f"{title} {calibration[f'{name}_before']:.3f} to {calibration[f'{name}_after']:.3f}"
        for name, title in (("nll", "NLL"), ("brier", "Brier"), ("ece", "ECE"))
    ]
    noise = f"of which a perfect model has {calibration['ece_noise_after']:.3f}"
    line = f"calibration {_EFFECTS[calibration['verdict']]} on held-out speakers: {', '.join(figures)}, {noise}"
    unknown = calibration.get("unknown")
    if unknown is None:
        return line
    if "refused" in unknown:
        return f"{line}; no threshold for a risk of {unknown['max_risk']:.0%}: {unknown['refused']}"
    risk = "no answer" if unknown["risk"] is None else f"{unknown['risk']:.1%} of them wrong"
    return f"{line}; threshold for a risk of {unknown['max_risk']:.0%}: {unknown['coverage']:.1%} answered, {risk}"


def robustness_line(tests: Sequence[Mapping[str, Any]]) -> str:
    """How many of the tests are passed, in a sentence."""
    passed = sum(test["passed"] for test in tests)
    return f"{passed} of {len(tests)} tests passed on altered recordings of speakers that were not trained on"


def comparison_line(found: Mapping[str, Any]) -> str:
    """The comparison in a sentence."""
    figure = figure_of([found])
    bounds = found[f"{figure}_difference_ci"]
    told = "too few speakers for an interval" if bounds is None else f"{bounds[0]:+.3f} to {bounds[1]:+.3f}"
    return (
        f"{figure.upper()} of the model that it is compared with, on the same folds and seeds: {found[figure]:.3f}; "
        f"difference {found[f'{figure}_difference']:+.3f} ({told})"
    )


def print_report(report: dict[str, Any], page: Path) -> None:
    """Print metrics with intervals, the protocol, leaks and calibration, and the report's path.

    Args:
        report: content of ``report.json``.
        page: path of the HTML page.
    """
    table = Table(title=f"{report['model']}, {len(report['seeds'])} seeds", title_justify="left")
    for heading in ("target", "UAR", "WA", "macro-F1"):
        table.add_column(heading)
    for heading in ("clips", "speakers"):
        table.add_column(heading, justify="right")
    labelled = {name: found for name, found in report["targets"].items() if "confusion" in found}
    for name, found in labelled.items():
        cells = [with_interval(found, figure) for figure in ("uar", "wa", "macro_f1")]
        table.add_row(name, *cells, str(found["clips"]), str(found["speakers"]))
    console = Console()
    if labelled:
        console.print(table)
    if "choose" in report:
        head, rows = choice_table(report)
        choices = Table(*head)
        for row in rows:
            choices.add_row(*row)
        console.print(choices)
    missing = [f"trained {report['missing']}"] if "missing" in report else []
    lines = [f"protocol: {report['protocol']}", *missing, *choice_lines(report), *leak_lines(report["leaks"])]
    lines += teacher_lines(report)
    for name, found in report["targets"].items():
        lines += [] if name in labelled else value_lines(name, found)
    lines += [f"{name}: {calibration_line(found['calibration'])}" for name, found in labelled.items()]
    lines += [agreement_line(name, found) for name, found in report.get("raters", {}).items()]
    for name, found in report["targets"].items():
        raters = found.get("calibration", {}).get("raters")
        lines += [f"{name}: {distance_line(raters)}"] if raters else []
        lines += [f"{name}: {comparison_line(found['compared'])}"] if "compared" in found else []
        lines += [f"{name}: {robustness_line(found['robustness'])}"] if "robustness" in found else []
    for line in [*lines, f"report: {from_here(page)}"]:
        console.print(shown(line), markup=False, highlight=False, soft_wrap=True)
