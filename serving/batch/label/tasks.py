"""Tasks of Label Studio: recordings by reference, what the model says of them, and why they were picked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from emotions.calls.formats.label_studio import AUDIO
from emotions.calls.formats.label_studio_choices import audio_url, choice_prediction, labelling_config
from emotions.files.atomic import write_bytes
from emotions.files.json_text import write_json
from serving.batch.label.answers import Targets
from serving.batch.label.pick import Picked


def write_tasks(output: Path, picked: Sequence[Picked], targets: Targets, model: str, prefix: str) -> Path:
    """Write tasks, and beside them the labelling page, ``<name>.xml``.

    Args:
        output: the file of tasks, ``.json``.
        picked: the recordings.
        targets: the labels to choose from.
        model: who predicts.
        prefix: what stands before a recording's name where Label Studio plays it.

    Returns:
        The file of the labelling page.
    """
    write_json(output, [_task(each, model, prefix) for each in picked])
    page = output.with_suffix(".xml")
    write_bytes(page, labelling_config(targets).encode())
    return page


def _task(picked: Picked, model: str, prefix: str) -> dict[str, Any]:
    answer = picked.answer
    data = {
        AUDIO: audio_url(prefix, answer.file),
        "name": answer.file,
        "reason": picked.reason,
        "why": f"{picked.reason}: {picked.figure:.3g}",
        "chance": picked.chance,
    }
    return {"data": data, "predictions": [choice_prediction(model, answer.scores)]}
