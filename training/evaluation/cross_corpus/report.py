"""Report an evaluation across corpora: ``report.json``, ``report.html`` and a table on stdout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from emotions.files.atomic import write_bytes
from emotions.files.from_here import from_here
from emotions.files.json_text import write_json
from training.config.evaluate import EvaluateStep
from training.data.joined import Joined
from training.evaluation.cross_corpus.cells import cells, mean_of
from training.evaluation.cross_corpus.page import grid, page
from training.evaluation.cross_corpus.plan import Plan
from training.evaluation.report.head import Trained, head
from training.evaluation.report.wording import leak_lines, shown, teacher_lines


@dataclass(frozen=True, kw_only=True)
class Evidence(Trained):
    """What the evaluation is reported from."""

    corpora: Joined
    plan: Plan


def write_report(output: Path, step: EvaluateStep, evidence: Evidence) -> Path:
    """Write ``report.json`` and ``report.html`` into a folder, print the figures, and return the folder.

    Args:
        output: the folder.
        step: the ``evaluate`` step.
        evidence: corpora, trainings and predictions.
    """
    corpora, found = evidence.corpora, cells(evidence.corpora, evidence.plan, evidence.predictions)
    means = {
        "within": mean_of(found, "within"),
        "across": mean_of(found, "across"),
        "left_out": mean_of(found, "left out"),
    }
    report = {**_head(step, evidence), "targets": {corpora.target: {**means, "cells": found}}}
    write_json(output / "report.json", report)
    write_bytes(output / "report.html", page(report).encode())
    _print(report, output / "report.html")
    return output


def _head(step: EvaluateStep, evidence: Evidence) -> dict[str, Any]:
    corpora, count = evidence.corpora, len(evidence.corpora.names)
    left = ", and on all others" if count > 2 else ""
    protocol = f"cross-corpus ({count} corpora; trained on each{left}; inside each, folds of whole speakers)"
    return {
        **head(step, evidence, protocol),
        "dataset": {
            "name": ", ".join(corpora.names),
            "fingerprint": corpora.table.fingerprint,
            "clips": len(corpora.table),
            "corpora": count,
            "license": corpora.table.license,
        },
        "corpora": [_corpus(evidence, number) for number in range(count)],
    }


def _corpus(evidence: Evidence, number: int) -> dict[str, Any]:
    corpora, untold = evidence.corpora, evidence.plan.untold.get(number)
    table = corpora.table.select(corpora.clips([number]))
    speakers = {clip.speaker for clip in table.clips}
    counts = table.counts(corpora.target)
    return {
        "name": corpora.names[number],
        "clips": len(table),
        "speakers": None if None in speakers else len(speakers),
        "labels": {word: {"called": own, "clips": counts.get(word, 0)} for own, word in corpora.words[number].items()},
        "left_out": dict(corpora.left_out[number]),
        **({"not_tested_within": untold} if untold else {}),
    }


def _print(report: Mapping[str, Any], path: Path) -> None:
    console = Console()
    for target, found in report["targets"].items():
        names, rows = grid(report["corpora"], found["cells"])
        table = Table(title=f"{report['model']}, {target}: UAR", title_justify="left")
        table.add_column("trained on")
        for corpus in report["corpora"]:
            table.add_column(shown(corpus["name"]), justify="right")
        for name, row in zip(names, rows, strict=True):
            table.add_row(shown(name), *("–" if value is None else f"{value:.3f}" for value in row))
        console.print(table)
    lines = [f"protocol: {report['protocol']}", *leak_lines(report["leaks"]), *teacher_lines(report)]
    for line in [*lines, f"report: {from_here(path)}"]:
        console.print(shown(line), markup=False, highlight=False, soft_wrap=True)
