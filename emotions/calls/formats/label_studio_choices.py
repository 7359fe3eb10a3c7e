"""Label Studio: a choice about a whole recording, as a task, as a prediction and as the page that asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

from emotions.calls.formats.label_studio import AUDIO

LOCAL_FILES = "/data/local-files/?d="
"""Where Label Studio serves the files of a folder on its own machine (``LOCAL_FILES_SERVING_ENABLED``)."""
Scores = Mapping[str, Mapping[str, float]]
"""Target -> label -> probability."""


def audio_url(prefix: str, file: str) -> str:
    """Where a recording is played from.

    Args:
        prefix: what stands before the name, such as ``LOCAL_FILES`` and a folder.
        file: its name, relative to that, POSIX.
    """
    return prefix + quote(file)


def choice_prediction(model: str, scores: Scores) -> dict[str, Any]:
    """A prediction: the most probable label of each target; its score is that of the first target.

    Args:
        model: who says so.
        scores: probabilities of each target.
    """
    best = {target: max(found, key=found.__getitem__) for target, found in scores.items()}
    results = [
        {
            "id": f"c{number}",
            "from_name": target,
            "to_name": AUDIO,
            "type": "choices",
            "value": {"choices": [label]},
            "score": scores[target][label],
        }
        for number, (target, label) in enumerate(best.items(), 1)
    ]
    return {"model_version": model, "score": results[0]["score"] if results else 0.0, "result": results}


def labelling_config(targets: Mapping[str, Sequence[str]]) -> str:
    """The page on which a person listens and chooses, in Label Studio's XML.

    Args:
        targets: the labels of each target.
    """
    lines = ["<View>", f'  <Audio name="{AUDIO}" value="${AUDIO}"/>', '  <Text name="why" value="$why"/>']
    for target, labels in targets.items():
        lines += [f'  <Header value="{escape(target)}"/>']
        lines += [f'  <Choices name="{escape(target)}" toName="{AUDIO}" choice="single" required="true">']
        lines += [f'    <Choice value="{escape(label)}"/>' for label in labels]
        lines += ["  </Choices>"]
    return "\n".join([*lines, "</View>", ""])
