"""The recordings that a model is most wrong about and most sure of: wrong labels, bad recordings, true weaknesses."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import soundfile

from emotions.audio.decode import SAMPLE_RATE
from emotions.audio.windows import FloatArray, IntArray
from training.data.clips import ClipTable
from training.data.waveforms.waveform_cache import WaveformCache

MOST = 10
_MAX_SEC = 12.0
"""What a page plays of a recording, so that it stays small."""


def surest_errors(
    table: ClipTable, clips: IntArray, truth: IntArray, probabilities: FloatArray, labels: Sequence[str], *, names: bool
) -> list[dict[str, Any]]:
    """At most ``MOST`` errors, the surest first: place in the dataset, truth, answer and confidence.

    Args:
        table: the dataset.
        clips: (clips,) indices into the dataset's clips.
        truth: (clips,) class indices; all have one.
        probabilities: (clips, classes).
        labels: names of the classes.
        names: tell the names of the recordings too.
    """
    answers, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(answers != truth)
    order = wrong[np.argsort(-confidence[wrong], kind="stable")][:MOST]
    return [
        {
            "clip": f"clip {clips[at] + 1}",
            **({"name": str(table.clips[clips[at]])} if names else {}),
            "truth": labels[truth[at]],
            "predicted": labels[answers[at]],
            "confidence": float(confidence[at]),
        }
        for at in order
    ]


def sounds_of(table: ClipTable, rows: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Name of each recording that is named -> its first seconds as a ``data:`` URL.

    Args:
        table: the dataset.
        rows: of ``surest_errors``.
    """
    wanted = {row["name"] for row in rows if "name" in row}
    found = [clip for clip in table.clips if str(clip) in wanted] if wanted else []
    cache = WaveformCache()
    facts = cache.prepare(found) if found else []
    return {str(clip): _data_url(cache.load(fact, clip)) for fact, clip in zip(facts, found, strict=True)}


def _data_url(waveform: FloatArray) -> str:
    content, samples = io.BytesIO(), waveform[: int(_MAX_SEC * SAMPLE_RATE)]
    soundfile.write(content, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return f"data:audio/flac;base64,{base64.b64encode(content.getvalue()).decode()}"
