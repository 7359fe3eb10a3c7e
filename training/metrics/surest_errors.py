"""The recordings that a model is most wrong about and most sure of: wrong labels, bad recordings, true weaknesses."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from emotions.audio.windows import FloatArray, IntArray
from emotions.inputs.input_file import is_url
from training.data.clips import Clip, ClipTable

MOST = 10


def surest_errors(
    table: ClipTable,
    clips: IntArray,
    truth: IntArray,
    probabilities: FloatArray,
    labels: Sequence[str],
    *,
    names: bool,
    steps_of: Callable[[int], list[list[float]]] | None = None,
) -> list[dict[str, Any]]:
    """At most ``MOST`` errors, the surest first: place in the dataset, truth, answer and confidence.

    Args:
        table: the dataset.
        clips: (clips,) indices into the dataset's clips.
        truth: (clips,) class indices; all have one.
        probabilities: (clips, classes).
        labels: names of the classes.
        names: tell the names of the recordings too.
        steps_of: given a clip, what the model made of it over time, as ``over_time`` has it; told beside the names.
    """
    answers, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(answers != truth)
    order = wrong[np.argsort(-confidence[wrong], kind="stable")][:MOST]
    return [
        {
            "clip": f"clip {clips[at] + 1}",
            **({"name": str(table.clips[clips[at]])} if names else {}),
            **({"over_time": steps_of(int(clips[at]))} if names and steps_of else {}),
            "truth": labels[truth[at]],
            "predicted": labels[answers[at]],
            "confidence": float(confidence[at]),
        }
        for at in order
    ]


def sounds_of(table: ClipTable, rows: Iterable[dict[str, Any]], folder: Path) -> dict[str, str]:
    """Name of each recording that is named -> where it lies, seen from a page; none of those behind a URL.

    A page holds no voice: it plays recordings from their place, and of a long one the part that is meant.

    Args:
        table: the dataset.
        rows: of ``surest_errors``.
        folder: of the page.
    """
    wanted = {row["name"] for row in rows if "name" in row}
    local = (clip for clip in table.clips if str(clip) in wanted and not is_url(clip.file))
    return {str(clip): _place(clip, folder) for clip in local}


def _place(clip: Clip, folder: Path) -> str:
    """A relative address, with the times of a part as a media fragment (W3C, Media Fragments URI 1.0)."""
    path = quote(Path(os.path.relpath(Path(clip.file).absolute(), folder.absolute())).as_posix())
    if clip.start is None and clip.end is None:
        return path
    return f"{path}#t={clip.start or 0:g}" + ("" if clip.end is None else f",{clip.end:g}")
