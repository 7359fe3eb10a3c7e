"""Label Studio: tasks with predictions are written, exports of what people labelled are read.

Source: the documentation of Label Studio, "Import pre-annotated data" and "Raw JSON format of completed tasks".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from emotions.calls.formats.annotation import Annotation, Interval, Tier, ceiling, rounded
from emotions.errors import DataError

DIGITS = 6
AUDIO = "audio"
"""Key of a task's recording, and name of the tag that plays it."""
_UPLOAD = re.compile(r"[0-9a-f]{8}-")
_KINDS = ("labels", "choices")


def label_studio(annotation: Annotation) -> str:
    """A task with a prediction: a region for each interval, in the control that is named after the target.

    Args:
        annotation: of the recording; tiers of values are left out.
    """
    tiers = [tier for tier in annotation.tiers if tier.categorical]
    length = ceiling(annotation.duration_sec, DIGITS)
    regions = [_region(tier, each, length) for tier in tiers for each in rounded(tier, DIGITS)]
    scores = [region["score"] for region in regions if region["score"] is not None]
    prediction = {
        "model_version": annotation.rater,
        "score": sum(scores) / len(scores) if scores else 0.0,
        "result": [{"id": f"r{number}", **region} for number, region in enumerate(regions, 1)],
    }
    task = {"data": {AUDIO: annotation.file}, "predictions": [prediction]}
    return json.dumps([task], ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def _region(tier: Tier, each: Interval, length: float) -> dict[str, Any]:
    value = {"start": each.start, "end": each.end, "channel": (tier.channel or 1) - 1, "labels": [each.label]}
    region = {"from_name": tier.target, "to_name": AUDIO, "type": "labels", "original_length": length}
    return {**region, "value": value, "score": each.score} | (
        {"meta": {"text": [tier.speaker]}} if tier.speaker else {}
    )


def read_label_studio(tasks: Any, name: str) -> Iterator[Annotation]:
    """What people labelled, by an export of type JSON or JSON-MIN: an annotation for each task.

    Each control of each rater is a tier. A choice about the whole recording is an interval without times: from 0 to 0.

    Args:
        tasks: the JSON of the export.
        name: of the file, for messages.

    Raises:
        DataError: it is no such export.
    """
    if not isinstance(tasks, list):
        raise DataError(f"{name}: is not an export of Label Studio: a list of tasks")
    for number, task in enumerate(tasks):
        where = f"{name}: task {number + 1}"
        if not isinstance(task, dict):
            raise DataError(f"{where} is not an object")
        short = "data" not in task
        file = _recording(task if short else task["data"], where)
        tiers = tuple(_tiers_of_short(task, where) if short else _tiers(task, where))
        yield Annotation(file, 0.0, tiers)


def _recording(data: Any, where: str) -> str:
    """The recording of a task, without what Label Studio adds to its name."""
    values = data if isinstance(data, dict) else {}
    named = [value for key, value in values.items() if key.lower() in {AUDIO, "url", "file", "path"}]
    url = next((value for value in named if isinstance(value, str) and value), "")
    if not url:
        raise DataError(f"{where} names no recording under the key {AUDIO!r}")
    parts = urlsplit(url)
    if parts.path.endswith("/local-files/") and (local := parse_qs(parts.query).get("d")):
        return local[0]
    if "/data/upload/" in parts.path:
        return _UPLOAD.sub("", PurePosixPath(unquote(parts.path)).name, count=1)
    return url


def _tiers(task: Mapping[str, Any], where: str) -> Iterator[Tier]:
    for number, work in enumerate(_list(task.get("annotations"), where), 1):
        if not isinstance(work, dict) or work.get("was_cancelled"):
            continue
        rater = _rater(work.get("completed_by"), number)
        found: dict[str, list[Interval]] = {}
        for region in _list(work.get("result"), where):
            if isinstance(region, dict) and region.get("type") in _KINDS:
                found.setdefault(str(region.get("from_name")), []).extend(_labels(region.get("value"), where))
        yield from (Tier(control, tuple(intervals), rater=rater) for control, intervals in found.items() if intervals)


def _tiers_of_short(task: Mapping[str, Any], where: str) -> Iterator[Tier]:
    rater = _rater(task.get("annotator"), 1)
    for control, value in task.items():
        if isinstance(value, dict) and "choices" in value:
            yield Tier(control, tuple(_labels(value, where)), rater=rater)
        elif isinstance(value, list) and all(isinstance(each, dict) and "start" in each for each in value):
            yield Tier(control, tuple(one for each in value for one in _labels(each, where)), rater=rater)


def _list(value: Any, where: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise DataError(f"{where} has annotations or results that are no list")
    return value


def _rater(value: Any, number: int) -> str:
    """Who labelled, as far as the export says."""
    if isinstance(value, dict):
        value = value.get("email") or value.get("username") or value.get("id")
    return str(value) if value not in (None, "") else f"rater {number}"


def _labels(value: Any, where: str) -> Iterator[Interval]:
    """The labels of a region, or of a choice about the whole recording."""
    if not isinstance(value, dict):
        raise DataError(f"{where} has a region without a value")
    start, end = value.get("start", 0), value.get("end", 0)
    if not all(
        isinstance(edge, int | float) and not isinstance(edge, bool) and 0 <= edge < 1e9 for edge in (start, end)
    ):
        raise DataError(f"{where} has a region whose start and end are no seconds")
    for kind in _KINDS:
        for label in _list(value.get(kind), where):
            yield Interval(float(start), float(end), str(label))
