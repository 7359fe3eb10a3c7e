"""What calibration brings into a bundle: temperatures into its graph, thresholds into its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from emotions.bundle.manifest import ABOVE_ALL, UNKNOWN
from emotions.errors import ConfigError
from emotions.files.json_text import read_json
from export.sources import Source
from training.metrics.dimensions import Linear
from training.metrics.held_out import HeldOut, read_held_out
from training.metrics.risk import shortage, threshold_for

_ANSWERS = "held_out"


def quoting(folder: Path | None, source: Source) -> Source:
    """A source with what its bundle quotes of an evaluation of its model by folds.

    That is ``evaluation`` in the manifest's ``extra``, and the answers to the test clips of all folds, which are more
    than those of one run to choose a threshold on.

    Args:
        folder: of the report; None for none; ConfigError where it is of another model or other data.
        source: the model.
    """
    if folder is None:
        return source
    report = read_json(folder / "report.json")
    dataset = report.get("dataset", {}) if isinstance(report, dict) else {}
    known = (report.get("model"), dataset.get("fingerprint"), "folds" in report) if dataset else None
    mine = (source.description.get("model"), source.dataset.fingerprint if source.dataset else None, True)
    if known != mine:
        raise ConfigError(f"{folder}: is no evaluation of this model on the data that it was trained on")
    answers = {target: found[_ANSWERS] for target, found in report["targets"].items() if _ANSWERS in found}
    calibration = {
        target: about | ({_ANSWERS: answers[target]} if target in answers else {})
        for target, about in source.calibration.items()
    }
    return replace(source, calibration=calibration, extra={**source.extra, "evaluation": _quoted(report)})


def _quoted(report: Mapping[str, Any]) -> dict[str, Any]:
    figures = ("uar", "wa", "macro_f1")
    quoted = {
        target: {name: found[name] for figure in figures for name in (figure, f"{figure}_ci") if name in found}
        | {"clips": found["clips"], **({"dimensions": found["dimensions"]} if "dimensions" in found else {})}
        for target, found in report["targets"].items()
    }
    return {**{name: report[name] for name in ("protocol", "seeds", "leaks")}, "targets": quoted}


def temperatures(source: Source) -> dict[str, float]:
    """What each target's logits are divided by."""
    known = source.calibration.items()
    return {target: float(found["temperature"]) for target, found in known if "temperature" in found}


def linear(source: Source) -> dict[str, list[Linear]]:
    """Scale and bias of each dimension of the targets of dimensions."""
    found = {}
    for target in source.ranges:
        known = source.calibration.get(target, {}).get("dimensions", {})
        rows = [known.get(name, {"scale": 1.0, "bias": 0.0}) for name in source.targets[target]]
        found[target] = [(float(row["scale"]), float(row["bias"])) for row in rows]
    return found


def check_risk(source: Source, max_risk: float | None) -> None:
    """Refuse a risk that no threshold can be chosen for.

    Args:
        source: the model; ConfigError where its confidence is not known, held-out answers are too few, or a label is
            called ``unknown``.
        max_risk: share of errors to keep above the threshold, 0 to 1; None for no threshold.
    """
    if max_risk is None:
        return
    if not source.calibration:
        raise ConfigError("max_risk: a threshold is chosen on held-out clips of a run folder; export one with --run")
    if source.ranges:
        raise ConfigError("max_risk: a model with dimensions has no threshold; leave it out")
    if any(UNKNOWN in labels for labels in source.targets.values()):
        raise ConfigError(f"max_risk: a label is called {UNKNOWN!r} already; rename it, or export without a threshold")
    for target in source.calibration:
        missing = shortage(_answers(source, target))
        if missing is not None:
            raise ConfigError(f"max_risk: {target}: {missing}; {_REMEDY}")


_REMEDY = "evaluate the model by folds (emotions evaluate) and name the report with --evaluation"


def _answers(source: Source, target: str) -> HeldOut:
    found = read_held_out(source.calibration[target].get(_ANSWERS), source.name)
    if found is None:
        raise ConfigError(f"max_risk: the run was written before held-out answers were kept; train again, or {_REMEDY}")
    return found


def calibration_of(source: Source, max_risk: float | None) -> dict[str, Any]:
    """The manifest's ``calibration``: target -> temperature, figures, and threshold. Args as ``check_risk``."""
    found: dict[str, Any] = {}
    for target, known in source.calibration.items():
        found[target] = {name: value for name, value in known.items() if name not in ("risk_coverage", _ANSWERS)}
        if max_risk is not None:
            found[target] |= _threshold(_answers(source, target), max_risk)
    return found


def _threshold(answers: HeldOut, max_risk: float) -> dict[str, Any]:
    """The threshold, what it was chosen on, and the share of those clips that it answers."""
    threshold = threshold_for(answers, max_risk)
    chosen_on = {"part": answers.part, "clips": len(answers), f"{answers.unit}s": answers.count}
    if threshold is None:
        return {"threshold": ABOVE_ALL, "max_risk": max_risk, "chosen_on": chosen_on, "answered": 0.0}
    answered = float((answers.confidence >= threshold).mean())
    return {"threshold": threshold, "max_risk": max_risk, "chosen_on": chosen_on, "answered": answered}
