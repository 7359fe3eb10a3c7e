"""The model as every peer runs it: our decoder, windows, session and pooling, so that only the servers differ."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emotions.audio import decode
from emotions.predictor import load
from serving.benchmark.layers.layers import stacked

MAX_BATCH = 16
"""Recordings in one batch, where a peer forms batches."""


class Model:
    """The bundle, variant, device and threads that the environment names."""

    def __init__(self) -> None:
        self._predictor = load(
            os.environ["EMOTIONS_BUNDLE"],
            device="cuda" if os.environ["EMOTIONS_DEVICE"] == "cuda" else "cpu",
            variant=os.environ["EMOTIONS_VARIANT"],
            threads=int(os.environ["EMOTIONS_THREADS"]),
        )

    def answer(self, contents: Sequence[bytes | Path]) -> list[dict[str, Any]]:
        """Classify recordings in one run of the model; an answer each, in their order."""
        clips = [self._predictor.split(decode.decode(content)) for content in contents]
        samples, lengths = stacked(clips)
        answers = self._predictor.session.run(samples, lengths)
        ends = np.cumsum([len(clip) for clip in clips])
        predictions = []
        for clip, end in zip(clips, ends.tolist(), strict=True):
            part = {target: values[end - len(clip) : end] for target, values in answers.items()}
            predictions.append({"probabilities": self._predictor.prediction(clip, part).probabilities})
        return predictions
