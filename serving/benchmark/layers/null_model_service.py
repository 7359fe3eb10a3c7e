"""The service without its model: everything of a request but inference, for the benchmark's layers.

``bentoml serve serving.benchmark.layers.null_model_service:EmotionService`` is what the benchmark starts; nobody else
should.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from emotions.audio.windows import FloatArray, IntArray
from emotions.predictor import Predictor
from emotions.runtime.session import Probabilities
from serving.settings import Settings
from serving.worker import startup

_open = startup.open_predictor


def _null_model(settings: Settings, worker: int = 0) -> Predictor:
    """The bundle's predictor, its model replaced by one that knows nothing and takes no time."""
    predictor = _open(settings, worker)
    classes = {target: len(labels) for target, labels in predictor.manifest.targets.items()}

    def run(waveform: FloatArray, length: IntArray) -> Probabilities:  # noqa: ARG001  # a model's signature
        return {target: np.full((len(length), count), 1 / count, np.float32) for target, count in classes.items()}

    return Predictor(predictor.bundle, replace(predictor.session, run=run))


startup.open_predictor = _null_model

from serving.service import EmotionService  # noqa: E402  # it takes what opens the bundle from there

__all__ = ["EmotionService"]
