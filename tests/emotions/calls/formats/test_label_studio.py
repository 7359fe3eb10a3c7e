from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotions.calls.formats.annotation import Annotation
from emotions.calls.formats.label_studio import label_studio, read_label_studio
from emotions.errors import DataError
from tests.emotions.calls.formats.conftest import annotations, told


def region(label: str, start: float = 0.5, end: float = 1.5, control: str = "emotion") -> dict[str, Any]:
    value = {"start": start, "end": end, "channel": 0, "labels": [label]}
    return {"id": "x", "from_name": control, "to_name": "audio", "type": "labels", "value": value}


EXPORT: list[dict[str, Any]] = [
    {
        "id": 7,
        "data": {"audio": "/data/upload/3/0123abcd-a%20call.wav"},
        "annotations": [
            {"completed_by": 4, "result": [region("sad"), region("calm", 2, 3), region("yes", 0, 1, "noise")]},
            {"completed_by": {"id": 5, "email": "ann@x"}, "result": [region("angry")]},
            {"completed_by": 6, "was_cancelled": True, "result": [region("no")]},
            {"result": [{"type": ["labels"], "value": {}}, {"type": "labels", "value": {"labels": None}}]},
            {"result": [{"type": "textarea", "value": {"text": ["hm"]}}, {"type": "rating", "value": {"rating": 3}}]},
        ],
    },
    {
        "data": {"audio": "/data/local-files/?d=calls/b.wav"},
        "annotations": [
            {"completed_by": 4, "result": [{"from_name": "all", "type": "choices", "value": {"choices": ["sad"]}}]}
        ],
    },
    {"audio": "s3://bucket/c.wav", "id": 9, "annotator": 4, "emotion": [{"start": 1, "end": 2, "labels": ["sad"]}]},
    {"audio": "d.wav", "annotator": 4, "emotion": {"choices": ["a", "b"]}, "lead_time": 3.5},
]


def test_what_people_labelled_is_read() -> None:
    first, second, third, fourth = read_label_studio(json.loads(json.dumps(EXPORT)), "x")
    assert [each.file for each in (first, second, third, fourth)] == [
        *("a call.wav", "calls/b.wav", "s3://bucket/c.wav", "d.wav")
    ]
    assert [(tier.rater, tier.name) for tier in first.tiers] == [("4", "emotion"), ("4", "noise"), ("ann@x", "emotion")]
    assert told(first)[0] == ("emotion", [(0.5, 1.5, "sad"), (2, 3, "calm")])
    assert told(second) == [("all", [(0, 0, "sad")])]
    assert told(third) == [("emotion", [(1, 2, "sad")])]
    assert told(fourth) == [("emotion", [(0, 0, "a"), (0, 0, "b")])]


@given(annotations())
def test_a_prediction_that_somebody_accepts_is_read_as_it_was_written(annotation: Annotation) -> None:
    (task,) = json.loads(label_studio(annotation))
    (prediction,) = task.pop("predictions")
    assert prediction["model_version"] == "tiny"
    # Label Studio makes an annotation of a prediction with the same regions.
    task["annotations"] = [{"completed_by": 1, "result": prediction["result"]}]
    (found,) = read_label_studio([task], "x")
    expected: dict[str, list[tuple[float, float, str]]] = {}
    for tier in annotation.tiers:
        if tier.categorical and tier.intervals:
            intervals = [(each.start, each.end, each.label) for each in tier.intervals]
            expected.setdefault(tier.target, []).extend(intervals)
    assert dict(told(found)) == expected
    assert len({region["id"] for region in prediction["result"]}) == len(prediction["result"])
    for each in prediction["result"]:
        assert (each["to_name"], each["type"], each["original_length"]) == ("audio", "labels", 12.0)


@pytest.mark.parametrize(
    "export",
    [
        {},
        [1],
        [{"data": {}}],
        [{"data": []}],
        [{"data": {"audio": 3}}],
        [{"data": {"audio": "a"}, "annotations": 3}],
        [{"data": {"audio": "a"}, "annotations": [{"result": 3}]}],
        [{"data": {"audio": "a"}, "annotations": [{"result": [{"type": "labels", "value": 3}]}]}],
        [{"data": {"audio": "a"}, "annotations": [{"result": [region("x", -1, 2)]}]}],
        [{"data": {"audio": "a"}, "annotations": [{"result": [region("x", 0, 10**400)]}]}],
        [{"data": {"audio": "a"}, "annotations": [{"result": [region("x", 0, 1e300)]}]}],
        [{"data": {"audio": "a"}, "annotations": [{"result": [region("x", True, False)]}]}],
    ],
)
def test_what_is_no_export_is_refused(export: Any) -> None:
    with pytest.raises(DataError, match=r"^x: "):
        [*read_label_studio(export, "x")]


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["data", "audio", "annotations", "result", "type", "value", "labels", "start", "end", "from_name"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=30,
)


@given(st.lists(JSON, max_size=3))
def test_any_json_is_read_or_refused(export: Any) -> None:
    try:
        found = [*read_label_studio(export, "x")]
    except DataError:
        return
    assert all(
        isinstance(each.label, str) for annotation in found for tier in annotation.tiers for each in tier.intervals
    )
