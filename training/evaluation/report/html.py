"""The report of an evaluation as one page of HTML, its plots inside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from emotions.files.html.report import Part, Report, Section, Table, html
from training.evaluation.report.value_parts import value_pictures, value_tables
from training.evaluation.report.wording import (
    calibration_line,
    choice_lines,
    choice_table,
    comparison_line,
    figure_of,
    leak_lines,
    robustness_line,
    teacher_lines,
    with_interval,
)
from training.metrics.agreement import agreement_line
from training.metrics.conclusion import conclusions, whose_of
from training.metrics.dimension_report import dimension_conclusions
from training.metrics.distributions import distance_line
from training.metrics.report_parts import calibration_pictures, class_picture, group_picture, matrix, recordings

FIGURES = {"uar": "UAR", "wa": "WA", "macro_f1": "macro-F1"}
_OF_A_CLASS = ("recall", "precision", "f1")
_INTERVALS = (
    "in brackets stands the 95 % interval: Student's t times the bootstrap's standard error over speakers, on the "
    "logit scale; of a single speaker, over recordings"
)


def page(report: Mapping[str, Any], sounds: Mapping[str, str] | None = None) -> str:
    """A report as HTML that needs nothing else.

    Args:
        report: content of ``report.json``.
        sounds: name of a recording -> where it lies, seen from the page, of those that the report names.
    """
    targets, several = report["targets"], len(report["targets"]) > 1
    leaks, taught = leak_lines(report["leaks"]), teacher_lines(report)
    missing = [f"trained {report['missing']}"] if "missing" in report else []
    seeds = ", ".join(map(str, report["seeds"]))
    method: list[Part] = [f"protocol: {report['protocol']}"]
    method += [f"{len(report['folds'])} folds; seeds {seeds}: figures are means over the seeds", _INTERVALS, leaks[0]]
    method += [*taught[:1], *(agreement_line(name, found) for name, found in report.get("raters", {}).items())]
    method += [
        *choice_lines(report),
        *([Table("Choice of the model", *choice_table(report))] if "choose" in report else []),
    ]
    return html(
        Report(
            "Evaluation",
            report["model"],
            [
                *conclusions(labelled_in(targets), whose_of(report["protocol"])),
                *dimension_conclusions(targets, whose_of(report["protocol"])),
            ],
            pictures=[Section(name if several else "", [*_pictures(name, found)]) for name, found in targets.items()],
            figures=[
                Section(name if several else "", [*_figures(found, sounds or {})]) for name, found in targets.items()
            ],
            method=method,
            facts=facts_of(report),
            command=report.get("command", ""),
            warnings=[*missing, *leaks[1:], *taught[1:]],
        )
    )


def labelled_in(targets: Mapping[str, Any]) -> dict[str, Any]:
    """The targets of labels among the metrics of all."""
    return {name: found for name, found in targets.items() if "confusion" in found}


def _pictures(name: str, found: Mapping[str, Any]) -> Iterator[Part]:
    return pictures(found) if "confusion" in found else value_pictures(name, found)


def pictures(found: Mapping[str, Any]) -> Iterator[Part]:
    """Pictures of one target, of its metrics ``found``."""
    yield matrix(found)
    yield from class_picture(found)
    yield from group_picture(f"Each {found.get('interval_over', 'speaker')}", found["per_speaker"])
    yield from calibration_pictures(found.get("calibration", {}))


def _figures(found: Mapping[str, Any], sounds: Mapping[str, str]) -> Iterator[Part]:
    if "confusion" not in found:
        yield from value_tables(found)
        yield from _beside(found)
        return
    yield overall_table(found)
    yield class_table(found)
    calibration = calibration_line(found["calibration"])
    yield f"{calibration}."
    yield calibration_table(found["calibration"])
    if "raters" in found["calibration"]:
        yield f"{distance_line(found['calibration']['raters'])}."
    yield from _beside(found)
    if found.get("surest_errors"):
        yield recordings(found["surest_errors"], sounds, labels=found["labels"])
    for name, rows in {found.get("interval_over", "speaker"): found["per_speaker"], **found["per_group"]}.items():
        yield group_table(f"By {name}", rows)


def _beside(found: Mapping[str, Any]) -> Iterator[Part]:
    if "compared" in found:
        yield f"{comparison_line(found['compared'])}."
    if "robustness" in found:
        yield f"{robustness_line(found['robustness'])}."
        yield robustness_table(found["robustness"])


def overall_table(found: Mapping[str, Any], **more: Any) -> Table:
    """Figures of a target; ``more`` are further columns."""
    head = [*FIGURES.values(), *more, "recordings", "speakers"]
    return Table("All recordings", head, [[*_cells(found, FIGURES), *more.values(), found["clips"], found["speakers"]]])


def class_table(found: Mapping[str, Any]) -> Table:
    """Figures by class."""
    rows = [[label, *_cells(row, _OF_A_CLASS), row["clips"]] for label, row in found["per_class"].items()]
    return Table("Each class", ["class", "recall", "precision", "F1", "recordings"], rows)


def calibration_table(calibration: Mapping[str, Any]) -> Table:
    """Scores of the probabilities before and after the temperature, and the parts of the Brier score."""
    scores = {"nll": "NLL", "ece": "ECE", "ece_noise": "ECE of a perfect model", "brier": "Brier"}
    parts = ("reliability", "resolution", "uncertainty")
    within = "within bins"
    rows = []
    for when in ("before", "after"):
        found = calibration[f"brier_parts_{when}"]
        of_bins = found["within_bin_variance"] - found["within_bin_covariance"]
        values = [calibration[f"{name}_{when}"] for name in scores] + [found[name] for name in parts] + [of_bins]
        rows.append([f"{when} calibration", *(f"{value:z.3f}" for value in values)])
    note = "the Brier score is reliability - resolution + uncertainty + what lies within bins"
    return Table("Calibration", ["", *scores.values(), *parts, within], rows, [note])


def group_table(title: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """Figures by group, or by speaker."""
    notes = any(row.get("note") for row in rows)
    head = ["name", *FIGURES.values(), "recordings", "speakers", *(["remark"] if notes else [])]
    cells = [
        [row["name"], *_cells(row, FIGURES), row["clips"], row["speakers"], *([row.get("note", "")] if notes else [])]
        for row in rows
    ]
    return Table(title, head, cells)


def robustness_table(
    tests: Sequence[Mapping[str, Any]], title: str = "Altered recordings of speakers that were not trained on"
) -> Table:
    """The tests as a table with a title."""
    figure = figure_of(tests)
    head = ["test", "kind", "unchanged", figure.upper(), f"{figure.upper()} lost", "verdict"]
    rows = [
        [
            test["name"],
            test["kind"],
            f"{test['unchanged']:.1%}",
            f"{test[figure]:.3f}",
            f"{test[f'{figure}_loss']:+.3f}",
            "pass" if test["passed"] else "FAIL",
        ]
        for test in tests
    ]
    return Table(title, head, rows)


def facts_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """Data, date and versions of a report, each where it is known."""
    data = report["dataset"]
    counts = [f"{value} {key}" for key, value in data.items() if isinstance(value, int)]
    facts = {
        "data": data.get("name"),
        "size": ", ".join(counts),
        "licence": data.get("license"),
        "fingerprint of the data": data.get("fingerprint"),
        "date": report.get("created"),
        "version of the toolkit": report.get("toolkit_version"),
        **report.get("versions", {}),
        "training took": f"{report['training_seconds']:,.0f} s" if "training_seconds" in report else None,
    }
    return {name: value for name, value in facts.items() if value}


def _cells(found: Mapping[str, Any], figures: Iterable[str]) -> list[str]:
    return [with_interval(found, figure) for figure in figures]
