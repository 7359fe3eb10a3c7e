"""BentoML's plain batchable endpoint, as its documentation has it: the same bundle, decoder and limits of a batch.

``bentoml serve serving.benchmark.peers.batchable:Batchable`` is what the benchmark starts; nobody else should.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import bentoml
import numpy as np

from emotions import audio
from serving.benchmark.layers import stacked
from serving.settings import read_settings
from serving.startup import open_predictor

_SETTINGS = read_settings(os.environ)


@bentoml.service(http={"host": "127.0.0.1"}, workers=1, traffic={"timeout": _SETTINGS.timeout_sec})
class Batchable:
    """Recordings in, probabilities out, by BentoML's own batcher."""

    def __init__(self) -> None:
        self.predictor = open_predictor(_SETTINGS)

    @bentoml.api(batchable=True, max_batch_size=_SETTINGS.batch_limit("cpu"), max_latency_ms=60_000)  # type: ignore[untyped-decorator]
    def predict(self, files: list[Path]) -> list[dict[str, Any]]:
        """Classify the recordings of one batch."""
        clips = [self.predictor.split(audio.decode(file)) for file in files]
        samples, lengths = stacked(clips)
        answers = self.predictor.session.run(samples, lengths)
        ends = np.cumsum([len(clip) for clip in clips])
        predictions = []
        for clip, end in zip(clips, ends.tolist(), strict=True):
            part = {target: values[end - len(clip) : end] for target, values in answers.items()}
            predictions.append({"probabilities": self.predictor.prediction(clip, part).probabilities})
        return predictions
