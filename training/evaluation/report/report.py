"""The report of an evaluation by folds: ``answers -> figures -> report.json, report.html`` and a table on stdout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import emotions
from emotions.audio.windows import FloatArray, IntArray
from emotions.files import write_bytes, write_json
from training.config.evaluate import EvaluateStep
from training.data.clips import ClipTable
from training.data.leakage import Leaks
from training.evaluation.protocols.folds import Folds
from training.evaluation.protocols.groups import group_columns, units_of
from training.evaluation.protocols.nested_selection import Selection, summary_of
from training.evaluation.report.html import page
from training.evaluation.report.summary import Measured, summarise
from training.evaluation.report.wording import print_report
from training.metrics.calibration import (
    calibration_of,
    fit_temperature,
    reliability,
    risk_coverage,
    thinned,
    threshold_of,
)
from training.metrics.predictions import FoldAnswers, PartAnswers, truth_of

REPORT, PAGE = "report.json", "report.html"


@dataclass(frozen=True)
class Evidence:
    """What an evaluation is reported from.

    Attributes:
        table: the clips.
        folds: how they were cut.
        leaks: what the parts share.
        answers: of every fold with every seed.
        chosen: which candidate each fold chose, where there was a choice.
    """

    table: ClipTable
    folds: Folds
    leaks: Leaks
    answers: Sequence[FoldAnswers]
    chosen: Selection | None = None


def write_report(output: Path, step: EvaluateStep, evidence: Evidence) -> Path:
    """Write ``report.json`` and ``report.html`` into a folder, print the table, and return the folder.

    Raises:
        DataError: there is no column to measure by that the step names.
    """
    columns = group_columns(evidence.table, step.groups)
    targets = {target: _target(evidence, target, columns, step) for target in evidence.table.targets}
    report = {**_head(step, evidence), "targets": {name: found for name, found in targets.items() if found}}
    write_json(output / REPORT, report)
    write_bytes(output / PAGE, page(report).encode())
    print_report(report, output / PAGE)
    return output


def _head(step: EvaluateStep, evidence: Evidence) -> dict[str, Any]:
    table, answers = evidence.table, evidence.answers
    units, by = units_of(table)
    among = f"; model chosen among {len(step.choose.candidates)} inside each fold" if step.choose else ""
    return {
        "format": 1,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "toolkit_version": emotions.__version__,
        "model": step.model,
        "protocol": f"{evidence.folds.protocol}{among}",
        "seeds": sorted({each.seed for each in answers}),
        **_choice(step, evidence),
        "folds": [_fold(evidence, fold) for fold in range(len(evidence.folds))],
        "training_seconds": round(sum(each.seconds for each in answers), 1),
        "dataset": {
            "fingerprint": table.fingerprint,
            "clips": len(table),
            f"{by}s": int(units.max()) + 1,
            "license": table.license,
        },
        "leaks": evidence.leaks.summary(),
    }


def _choice(step: EvaluateStep, evidence: Evidence) -> dict[str, Any]:
    """How the folds have chosen; nothing where there was no choice."""
    if step.choose is None or evidence.chosen is None:
        return {}
    choice = {
        **step.choose.model_dump(mode="json", exclude_unset=True),
        "folds": step.choose.folds,
        "target": evidence.table.targets[0],
        "seed": evidence.answers[0].seed,
        "training_seconds": round(evidence.chosen.seconds, 1),
    }
    return {"choose": choice}


def _fold(evidence: Evidence, fold: int) -> dict[str, Any]:
    split = evidence.folds.splits[fold]
    return {
        "train": len(split.train),
        "val": len(split.val),
        "test": len(split.test),
        "split_sha256": split.sha256,
        "best_epochs": [each.best_epoch for each in evidence.answers if each.fold == fold],
        **({"chosen": summary_of(fold, evidence.chosen)} if evidence.chosen else {}),
    }


def _target(
    evidence: Evidence, target: str, columns: dict[str, list[str | None]], step: EvaluateStep
) -> dict[str, Any] | None:
    """All that is known of a target; None where no test clip is labelled for it."""
    table = evidence.table
    clips, before, after, thresholds = _pooled(evidence, target, step.max_risk)
    if not len(clips):
        return None
    truth = truth_of(table, clips, target)
    measured = Measured(table.labels(target), truth, before, _compact(units_of(table)[0][clips]), units_of(table)[1])
    found = summarise(measured, {name: [values[clip] for clip in clips] for name, values in columns.items()})
    return {**found, "calibration": _calibration(before, after, truth, thresholds, step.max_risk)}


def _compact(units: IntArray) -> IntArray:
    compact: IntArray = np.unique(units, return_inverse=True)[1].reshape(-1)
    return compact


def _pooled(evidence: Evidence, target: str, max_risk: float | None) -> tuple[IntArray, FloatArray, FloatArray, Any]:
    """Labelled test clips of all folds, (clips,), and their probabilities, (seeds, clips, classes), before and after
    calibration; with (seeds, clips) thresholds. Each fold's temperature comes from its own validation clips.
    """
    table, seeds = evidence.table, sorted({each.seed for each in evidence.answers})
    known = np.array([target in clip.labels for clip in table.clips])
    clips = np.concatenate([each.test.clips for each in evidence.answers if each.seed == seeds[0]])
    rows: dict[str, list[Any]] = {"before": [], "after": [], "threshold": []}
    for seed in seeds:
        parts = [_of_fold(each, table, target, max_risk) for each in evidence.answers if each.seed == seed]
        for name, row in rows.items():
            row.append(np.concatenate([part[name] for part in parts])[known[clips]])
    return clips[known[clips]], np.stack(rows["before"]), np.stack(rows["after"]), np.stack(rows["threshold"])


def _of_fold(answers: FoldAnswers, table: ClipTable, target: str, max_risk: float | None) -> dict[str, Any]:
    temperature, threshold = calibrate(answers.val, table, target, max_risk)
    after = answers.test.probabilities(target, temperature)
    return {
        "before": answers.test.probabilities(target),
        "after": after,
        "threshold": np.full(len(after), threshold),
    }


def calibrate(val: PartAnswers, table: ClipTable, target: str, max_risk: float | None) -> tuple[float, float]:
    """Temperature, and threshold for a risk (0: none), of what a model said of validation clips."""
    truth, at = val.labelled(target, truth_of(table, val.clips, target))
    temperature = fit_temperature(at, truth)
    return temperature, 0.0 if max_risk is None else threshold_of(risk_coverage(at(temperature), truth), max_risk)


def _calibration(
    before: FloatArray, after: FloatArray, truth: IntArray, thresholds: Any, max_risk: float | None
) -> dict[str, Any]:
    every = np.tile(truth, len(before))
    flat_before, flat_after = (values.reshape(-1, values.shape[-1]) for values in (before, after))
    found = {
        **calibration_of(flat_before, flat_after, every),
        "reliability_before": reliability(flat_before, every),
        "reliability_after": reliability(flat_after, every),
        "risk_coverage": thinned(risk_coverage(flat_after, every)),
    }
    return found if max_risk is None else {**found, "unknown": _unknown(flat_after, every, thresholds, max_risk)}


def _unknown(probabilities: FloatArray, truth: IntArray, thresholds: Any, max_risk: float) -> dict[str, Any]:
    """What the threshold that validation clips gave is worth on test clips."""
    answered = probabilities.max(axis=1) >= thresholds.reshape(-1)
    wrong = (probabilities.argmax(axis=1) != truth)[answered]
    risk = float(wrong.mean()) if len(wrong) else None
    return {"max_risk": max_risk, "coverage": float(answered.mean()), "risk": risk}
