"""What calibration brings into a bundle: temperatures into its graph, thresholds into its manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from emotions.bundle.manifest import UNKNOWN
from emotions.errors import ConfigError
from emotions.files.json_text import read_json
from export.sources import Source
from training.metrics.calibration import threshold_of


def evaluation_of(folder: Path | None, source: Source) -> dict[str, Any]:
    """What a bundle quotes of an evaluation of its model by folds: ``evaluation`` for the manifest's ``extra``.

    Args:
        folder: of the report; None for none; ConfigError where it is of another model or other data.
        source: the model.
    """
    if folder is None:
        return {}
    report = read_json(folder / "report.json")
    dataset = report.get("dataset", {}) if isinstance(report, dict) else {}
    known = (report.get("model"), dataset.get("fingerprint"), "folds" in report) if dataset else None
    mine = (source.description.get("model"), source.dataset.fingerprint if source.dataset else None, True)
    if known != mine:
        raise ConfigError(f"{folder}: is no evaluation of this model on the data that it was trained on")
    figures = ("uar", "wa", "macro_f1")
    quoted = {
        target: {name: found[name] for figure in figures for name in (figure, f"{figure}_ci")}
        | {"clips": found["clips"]}
        for target, found in report["targets"].items()
    }
    about = {name: report[name] for name in ("protocol", "seeds", "leaks")}
    return {"evaluation": {**about, "targets": quoted}}


def temperatures(source: Source) -> dict[str, float]:
    """What each target's logits are divided by."""
    return {target: float(found["temperature"]) for target, found in source.calibration.items()}


def check_risk(source: Source, max_risk: float | None) -> None:
    """Refuse a risk that no threshold can be chosen for.

    Args:
        source: the model; ConfigError where its confidence is not known, or a label is called ``unknown``.
        max_risk: share of errors to keep above the threshold, 0 to 1; None for no threshold.
    """
    if max_risk is None:
        return
    if not source.calibration:
        raise ConfigError(
            "max_risk: a threshold is chosen on the validation clips of a run folder; export one with --run"
        )
    if any(UNKNOWN in labels for labels in source.targets.values()):
        raise ConfigError(f"max_risk: a label is called {UNKNOWN!r} already; rename it, or export without a threshold")


def calibration_of(source: Source, max_risk: float | None) -> dict[str, Any]:
    """The manifest's ``calibration``: target -> temperature, figures, and threshold. Args as ``check_risk``."""
    found: dict[str, Any] = {}
    for target, known in source.calibration.items():
        found[target] = {name: value for name, value in known.items() if name != "risk_coverage"}
        if max_risk is not None:
            threshold = threshold_of(known["risk_coverage"], max_risk)
            found[target] |= {"threshold": threshold, "max_risk": max_risk}
    return found
