"""A bundle as a pyfunc model of MLflow: ``mlflow.pyfunc.load_model("models:/NAME/1").predict(["clip.wav"])``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import emotions
from emotions.predictor import Predictor


class BundleModel:
    """What MLflow calls.

    Args:
        predictor: the loaded bundle.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> list[dict[str, Any]]:  # noqa: ARG002  # MLflow's signature
        """Classify recordings.

        Args:
            model_input: paths or files' bytes, or a table with them in its first column.
            params: of no use.

        Returns:
            Of each recording: ``label``, ``confidence``, ``probabilities``, ``values``, ``duration_sec``.
        """
        return [self._row(clip) for clip in _clips(model_input)]

    def _row(self, clip: str | bytes) -> dict[str, Any]:
        found = self.predictor.predict(clip)
        return {
            "label": found.label,
            "confidence": found.confidence,
            "probabilities": found.probabilities,
            "values": found.values,
            "duration_sec": found.duration_sec,
        }


def _clips(model_input: Any) -> Iterable[str | bytes]:
    """The recordings of any form of input."""
    if isinstance(model_input, (str, bytes)):
        return [model_input]
    if hasattr(model_input, "iloc"):  # a pandas table
        model_input = model_input.iloc[:, 0]
    return [*model_input]


def _load_pyfunc(data_path: str) -> BundleModel:
    """MLflow's entry point: load the bundle that it stored."""
    return BundleModel(emotions.load(Path(data_path)))
