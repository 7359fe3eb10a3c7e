"""Speech emotion recognition: load a bundle and classify recordings.

import emotions

prediction = emotions.load("bundles/demo").predict("clip.wav")
prediction.label, prediction.probabilities
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# Before anything imports ONNX Runtime, which on import identifies the machine to Microsoft, in files too.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from emotions.calls.call import CallSummary
    from emotions.client.client import AsyncClient, Client
    from emotions.errors import EmotionsError, ServiceError
    from emotions.predictor import Predictor, load
    from emotions.runtime.prediction import Prediction

__all__ = [
    "AsyncClient",
    "CallSummary",
    "Client",
    "EmotionsError",
    "Prediction",
    "Predictor",
    "ServiceError",
    "__version__",
    "load",
]

_HOME = {
    "AsyncClient": "emotions.client.client",
    "CallSummary": "emotions.calls.call",
    "Client": "emotions.client.client",
    "EmotionsError": "emotions.errors",
    "ServiceError": "emotions.errors",
    "Prediction": "emotions.predictor",
    "Predictor": "emotions.predictor",
    "load": "emotions.predictor",
}


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # takes longer than the rest of this module

    try:
        return version("emotions-toolkit")
    except PackageNotFoundError:
        return "0+unknown"


def __getattr__(name: str) -> Any:
    """Import on first use, so that a light command does not pay for ONNX Runtime."""
    if name == "__version__":
        globals()[name] = found = _version()  # later uses find it there
        return found
    if name not in _HOME:
        raise AttributeError(f"module 'emotions' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)
