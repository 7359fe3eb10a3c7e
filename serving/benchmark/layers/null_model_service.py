"""The service without its model: everything of a request but inference, for the benchmark's layers.

``bentoml serve serving.benchmark.layers.null_model_service:EmotionService`` is what the benchmark starts; nobody else
should.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from emotions.audio.windows import FloatArray, IntArray
from emotions.predictor import Predictor
from emotions.runtime.batch_shape import Probabilities
from serving import service
from serving.settings import Settings
from serving.worker.startup import open_predictor

EmotionService = service.EmotionService


def _open_null_predictor(settings: Settings, worker: int = 0) -> Predictor:
    """The bundle's predictor, its model replaced by one that gives equal probabilities and takes no time."""
    predictor = open_predictor(settings, worker)
    classes = {target: len(labels) for target, labels in predictor.manifest.targets.items()}

    def run(waveform: FloatArray, length: IntArray) -> Probabilities:  # noqa: ARG001  # a model's signature
        return {target: np.full((len(length), count), 1 / count, np.float32) for target, count in classes.items()}

    return Predictor(predictor.bundle, replace(predictor.session, run=run))


# BentoML builds the service in each worker from this module's name alone, so that nothing can be passed to it.
service.open_predictor = _open_null_predictor  # type: ignore[attr-defined]  # the service's own import of it
