"""The report of a run as one page of HTML: what its metrics say, pictures, figures, and how they were measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from emotions.files.html.report import Part, Report, Section, Table, html
from emotions.pipeline.energy.energy import Energy, in_full, in_short
from emotions.pipeline.provenance import command_line, versions
from training.features.teacher.teacher import EXTRA as TEACHER
from training.features.teacher.wording import teacher_line, teacher_warnings
from training.metrics.agreement import agreement_line
from training.metrics.conclusion import conclusions, whose_of
from training.metrics.dimension_report import dimension_conclusions, dimension_tables
from training.metrics.distributions import distance_line
from training.metrics.report_parts import History, class_picture, curves, matrix, recordings
from training.run_folder.energy import ENTRY

Errors = Mapping[str, Sequence[Mapping[str, Any]]]
_FIGURES = {"uar": "UAR", "wa": "WA", "macro_f1": "macro-F1"}
_OF_A_CLASS = {"recall": "recall", "precision": "precision", "f1": "F1"}
_ONCE = (
    "one split was measured once, which says little about how sure the figures are: emotions evaluate measures every "
    "speaker and gives intervals"
)
_CHOSE = "there is no test part: measured on the validation part, which chose the epoch, so the figures are too good"


def run_page(
    index: Mapping[str, Any],
    history: History,
    part: str,
    data: str,
    speakers: int | None = None,
    errors: Errors | None = None,
) -> str:
    """A run's report as HTML that needs nothing else.

    Args:
        index: content of ``run.json``.
        history: metric name -> value after each epoch.
        part: the part that the run is judged by, ``test`` or ``validation``.
        data: name of the dataset.
        speakers: how many speakers the part has; None where they are not known.
        errors: target -> rows of ``surest_errors`` on that part.
    """
    every, protocol = index["metrics"][part], index["protocol"]
    scores = {target: each for target, each in every.items() if "confusion" in each}
    several = len(scores) > 1
    return html(
        Report(
            "Training",
            " ".join(str(index[key]) for key in ("name", "model") if index.get(key)),
            [
                *conclusions(
                    {name: {**each, "speakers": speakers} for name, each in scores.items()}, whose_of(protocol)
                ),
                *dimension_conclusions(every, whose_of(protocol)),
            ],
            pictures=[
                *(
                    Section(name if several else "", [matrix(each), *class_picture(each)])
                    for name, each in scores.items()
                ),
                Section("Learning", curves(history, index["best_epoch"] - 1)),
            ],
            figures=[Section("", [*_tables(index, part), *dimension_tables(index), *_errors(errors or {})])],
            method=[*_method(index, part)],
            facts=_facts(index, data),
            command=command_line(),
            warnings=[*_warnings(index, part)],
        )
    )


def _tables(index: Mapping[str, Any], part: str) -> Iterator[Part]:
    rows = [
        [name, target, *(f"{each[figure]:.3f}" for figure in _FIGURES), each["clips"]]
        for name, targets in index["metrics"].items()
        for target, each in targets.items()
        if "uar" in each
    ]
    if rows:
        yield Table("By part of the data", ["part", "target", *_FIGURES.values(), "recordings"], rows)
    for target, each in index["metrics"][part].items():
        if "per_class" not in each:
            continue
        cells = [
            [label, *("–" if row[key] is None else f"{row[key]:.3f}" for key in _OF_A_CLASS), row["clips"]]
            for label, row in each["per_class"].items()
        ]
        yield Table(f"{target}, {part} part", ["class", *_OF_A_CLASS.values(), "recordings"], cells)


def _errors(errors: Errors) -> Iterator[Part]:
    for target, rows in errors.items():
        if rows:
            yield recordings(rows, {}, target if len(errors) > 1 else "")


def _method(index: Mapping[str, Any], part: str) -> Iterator[str]:
    split = index["dataset"]["split"]
    sizes = ", ".join(f"{split[name]['clips']} {name}" for name in ("train", "val", "test") if name in split)
    yield f"protocol: {index['protocol']}"
    yield f"recordings by part: {sizes}; figures and pictures are of the {part} part"
    yield f"seed {index['seed']}; epoch {index['best_epoch']} was kept, {index['steps']} steps of the optimiser"
    if TEACHER in index:
        yield teacher_line(index[TEACHER])
    for target, found in split.get("raters", {}).items():
        yield agreement_line(target, found)
    for target, found in index.get("calibration", {}).items():
        if "raters" in found:
            yield f"{target}, {found['measured_on']} part: {distance_line(found['raters'])}"
    if ENTRY in index:
        yield f"energy of the features and epochs: {in_full(Energy.model_validate(index[ENTRY]))}"
    yield _ONCE


def _warnings(index: Mapping[str, Any], part: str) -> Iterator[str]:
    split = index["dataset"]["split"]
    if index.get("missing"):
        yield f"trained {index['missing']}"
    if part == "validation" and split["val"]["clips"]:
        yield _CHOSE
    leaks = split.get("leaks", {"found": {}, "allowed": []})
    shared = [kind for kind in leaks["allowed"] if leaks["found"].get(kind)]
    if shared:
        yield f"leaks were allowed ({', '.join(shared)}): the figures are optimistic"
    if TEACHER in index:
        yield from teacher_warnings(index[TEACHER])


def _facts(index: Mapping[str, Any], data: str) -> dict[str, Any]:
    dataset = index["dataset"]
    facts = {
        "data": data,
        "size": f"{dataset['clips']} recordings, {dataset['hours']:.2f} h",
        "licence": dataset.get("license"),
        "fingerprint of the data": dataset["fingerprint"],
        "date": index["created"],
        "version of the toolkit": index["toolkit_version"],
        **({"energy": in_short(Energy.model_validate(index[ENTRY]))} if ENTRY in index else {}),
        **versions(),
    }
    return {name: value for name, value in facts.items() if value}
