"""What calibration brings into a bundle: temperatures into its graph, thresholds into its manifest."""

from __future__ import annotations

from typing import Any

from emotions.bundle import UNKNOWN
from emotions.errors import ConfigError
from export.sources import Source
from training.evaluation.calibration import threshold_of


def temperatures(source: Source) -> dict[str, float]:
    """What each target's logits are divided by."""
    return {target: float(found["temperature"]) for target, found in source.calibration.items()}


def check_risk(source: Source, max_risk: float | None) -> None:
    """Refuse a risk that no threshold can be chosen for.

    Raises:
        ConfigError: nothing is known of the model's confidence, or a label is called what the threshold would answer.
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
    """The manifest's ``calibration``: by target its temperature, figures, and threshold where a risk is stated."""
    found: dict[str, Any] = {}
    for target, known in source.calibration.items():
        found[target] = {name: value for name, value in known.items() if name != "risk_coverage"}
        if max_risk is not None:
            threshold = threshold_of(known["risk_coverage"], max_risk)
            found[target] |= {"threshold": threshold, "max_risk": max_risk}
    return found
