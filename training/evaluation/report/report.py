"""Report an evaluation by folds: ``report.json``, ``report.html`` and a table on stdout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emotions.audio.windows import FloatArray, IntArray
from emotions.files.atomic import write_bytes
from emotions.files.json_text import write_json
from training.config.evaluate import EvaluateStep
from training.data.clips import ClipTable
from training.data.split.units import units_of
from training.data.waveforms.dataset import NO_LABEL
from training.evaluation.perturbations import corruptions
from training.evaluation.protocols.folds import Folds
from training.evaluation.protocols.groups import group_columns
from training.evaluation.protocols.nested_selection import Selection
from training.evaluation.report.beside import comparison, robustness
from training.evaluation.report.fold_errors import Cut, of_folds
from training.evaluation.report.head import Trained, head
from training.evaluation.report.html import page
from training.evaluation.report.pooled import Pooled
from training.evaluation.report.summary import Measured, summarise
from training.evaluation.report.unknown import unknown_of
from training.evaluation.report.value_target import compared_values, value_robustness, value_target
from training.evaluation.report.wording import print_report
from training.metrics.agreement import agreement
from training.metrics.calibration import (
    Truth,
    calibration_of,
    cross_fitted,
    reliability,
    risk_coverage,
    thinned,
)
from training.metrics.distributions import distance_from_raters
from training.metrics.held_out import HeldOut
from training.metrics.predictions import FoldPredictions, PartPredictions, shares_of, truth_of
from training.metrics.surest_errors import sounds_of


@dataclass(frozen=True, kw_only=True)
class Evidence(Trained):
    """What an evaluation is reported from; a selection where the folds chose among several candidates.

    Attributes:
        cut: where the windows of the clips lie.
        compared: predictions of the model to compare with, if any, in the order of ``predictions``.
    """

    table: ClipTable
    folds: Folds
    cut: Cut
    selection: Selection | None = None
    compared: Sequence[FoldPredictions] = ()


def write_report(output: Path, step: EvaluateStep, evidence: Evidence) -> Path:
    """Write ``report.json`` and ``report.html`` into a folder, print the table, and return the folder.

    Args:
        output: the folder.
        step: the ``evaluate`` step.
        evidence: folds and predictions.
    """
    columns = group_columns(evidence.table, step.groups)
    targets = {target: _target(evidence, target, columns, step) for target in evidence.table.targets}
    table, predictions = evidence.table, evidence.predictions
    targets |= {target: value_target(table, predictions, target, columns) for target in table.dimensions}
    report = {**_head(step, evidence), "targets": {name: found for name, found in targets.items() if found}}
    for name, found in report["targets"].items():
        if name in table.dimensions:
            found.update(_beside_values(evidence, name))
            continue
        if evidence.compared:
            found["compared"] = comparison(table, name, evidence.predictions, evidence.compared)
        if tests := robustness(table, name, evidence.predictions, corruptions(())):
            found["robustness"] = tests
        found["surest_errors"] = of_folds(table, evidence.predictions, name, evidence.cut, names=step.names)
    write_json(output / "report.json", report)
    errors = (row for found in report["targets"].values() for row in found.get("surest_errors", ()))
    write_bytes(output / "report.html", page(report, sounds_of(table, errors, output)).encode())
    print_report(report, output / "report.html")
    return output


def _beside_values(evidence: Evidence, target: str) -> dict[str, Any]:
    """Of a target of dimensions: another model on the same folds, and altered recordings, where they were asked for."""
    table, predictions, found = evidence.table, evidence.predictions, dict[str, Any]()
    if evidence.compared:
        found["compared"] = compared_values(table, target, predictions, evidence.compared)
    if tests := value_robustness(table, target, predictions, corruptions(())):
        found["robustness"] = tests
    return found


def _head(step: EvaluateStep, evidence: Evidence) -> dict[str, Any]:
    table = evidence.table
    units, by = units_of(table)
    among = f"; model chosen among {len(step.choose.candidates)} inside each fold" if step.choose else ""
    return {
        **head(step, evidence, f"{evidence.folds.protocol}{among}"),
        **_selection(step, evidence),
        **({"raters": {name: agreement(table, name) for name in table.soft}} if table.soft else {}),
        "folds": [_fold(evidence, fold) for fold in range(len(evidence.folds))],
        "dataset": {
            "name": table.root.name,
            "fingerprint": table.fingerprint,
            "clips": len(table),
            f"{by}s": int(units.max()) + 1,
            "license": table.license,
        },
    }


def _selection(step: EvaluateStep, evidence: Evidence) -> dict[str, Any]:
    """The settings of the nested selection; empty where there was none."""
    if step.choose is None or evidence.selection is None:
        return {}
    settings = {
        **step.choose.model_dump(mode="json", exclude_unset=True),
        "folds": step.choose.folds,
        "target": next(iter([*evidence.table.targets, *evidence.table.dimensions])),
        "seed": evidence.predictions[0].seed,
        "training_seconds": round(evidence.selection.seconds, 1),
    }
    return {"choose": settings}


def _fold(evidence: Evidence, fold: int) -> dict[str, Any]:
    split = evidence.folds.splits[fold]
    return {
        "train": len(split.train),
        "val": len(split.val),
        "test": len(split.test),
        "split_sha256": split.sha256,
        "best_epochs": [each.best_epoch + 1 for each in evidence.predictions if each.fold == fold],
        **({"chosen": evidence.selection.summary(fold)} if evidence.selection else {}),
    }


def _target(
    evidence: Evidence, target: str, columns: dict[str, list[str | None]], step: EvaluateStep
) -> dict[str, Any] | None:
    """Metrics of a target; None where no test clip is labelled for it."""
    table = evidence.table
    pooled = Pooled.of(table, evidence.predictions, target)
    clips = pooled.clips
    if not len(clips):
        return None
    truth = truth_of(table, clips, target)
    units, unit = units_of(table)
    compact = np.unique(units[clips], return_inverse=True)[1]
    measured = Measured(table.labels(target), truth, pooled.before, compact, unit)
    found = summarise(measured, {name: [values[clip] for clip in clips] for name, values in columns.items()})
    answers = [HeldOut.of(after, truth, compact, unit, "test clips of the folds") for after in pooled.after]
    raters = shares_of(table, clips, target)
    calibration = _calibration(pooled.before, pooled.after, truth if raters is None else raters, compact)
    if raters is not None:
        calibration["raters"] = _distance(pooled.before, pooled.after, raters, truth)
    if step.max_risk is not None:
        calibration["unknown"] = unknown_of(answers, pooled.folds, step.max_risk, _validation(evidence, target))
    return {**found, "calibration": calibration, "held_out": answers[0].summary()}


def _validation(evidence: Evidence, target: str) -> list[HeldOut]:
    """Of each seed, answers to the validation clips of the first fold, with temperatures of other speakers."""
    seeds = sorted({each.seed for each in evidence.predictions})
    firsts = [next(each for each in evidence.predictions if each.seed == seed) for seed in seeds]
    return [_held_out(each.val, evidence.table, target) for each in firsts]


def _held_out(val: PartPredictions, table: ClipTable, target: str) -> HeldOut:
    labels, (units, unit) = truth_of(table, val.clips, target), units_of(table)
    truth, at = val.labelled(target, labels)
    known = val.clips[labels != NO_LABEL]
    raters, speakers = shares_of(table, known, target), units[known]
    return HeldOut.of(
        cross_fitted(at, truth if raters is None else raters, speakers), truth, speakers, unit, "validation clips"
    )


def _distance(before: FloatArray, after: FloatArray, raters: FloatArray, truth: IntArray) -> dict[str, Any]:
    """Distances from the raters, over the answers of all seeds."""
    one, two = (values.reshape(-1, values.shape[-1]) for values in (before, after))
    return distance_from_raters(one, two, np.tile(raters, (len(before), 1)), np.tile(truth, len(before)))


def _calibration(before: FloatArray, after: FloatArray, truth: Truth, speakers: IntArray) -> dict[str, Any]:
    every, spoken = (np.concatenate([each] * len(before)) for each in (truth, speakers))
    flat_before, flat_after = (values.reshape(-1, values.shape[-1]) for values in (before, after))
    return {
        **calibration_of(flat_before, flat_after, every, spoken),
        "reliability_before": reliability(flat_before, every),
        "reliability_after": reliability(flat_after, every),
        "risk_coverage": thinned(risk_coverage(flat_after, every)),
    }
