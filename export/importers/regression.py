"""Models of quantities, such as arousal: no bundle holds them so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.models.frontends.hub import Checkpoint

DIMENSIONS = frozenset({"arousal", "valence", "dominance", "activation"})
"""Labels that are quantities: a model of them is a regression."""


def refuse_regression(settings: Mapping[str, Any], checkpoint: Checkpoint) -> None:
    """Raise ConfigError where a config.json is of a regression.

    Args:
        settings: its content.
        checkpoint: for the error.
    """
    labels = settings.get("id2label")
    named = {str(label).lower() for label in labels.values()} if isinstance(labels, dict) else set()
    if settings.get("problem_type") == "regression" or (named and named <= DIMENSIONS):
        what = ", ".join(sorted(named)) or "quantities"
        raise checkpoint.error(f"{{}} is a regression of {what}; only classifiers become bundles so far")
