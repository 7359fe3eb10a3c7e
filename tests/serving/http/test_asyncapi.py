"""The AsyncAPI document describes what a stream sends and takes."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import numpy as np
import pytest

from serving.http.asyncapi import stream_document
from serving.http.stream.messages import StreamConfig, StreamError, read_message
from tests.serving.conftest import Service
from tests.serving.http.stream.conftest import CLOSE, ServeStreams, converse, s16, serve, update

__all__ = ["serve"]  # a fixture


def payload(kind: str) -> dict[str, Any]:
    schema: dict[str, Any] = stream_document()["components"]["messages"][kind]["payload"]
    return schema


def test_the_document_is_served(service: Service) -> None:
    assert service.request("GET", "/v1/asyncapi.json").json() == stream_document()


def test_every_reference_is_there() -> None:
    document = stream_document()
    for name in document["channels"]["stream"]["messages"]:
        assert name in document["components"]["messages"]
    told = [*document["operations"]["receive"]["messages"], *document["operations"]["send"]["messages"]]
    named = {each["$ref"].rpartition("/")[2] for each in told}
    assert named == set(document["components"]["messages"])


def test_messages_of_the_server(serve: ServeStreams) -> None:
    sound = s16(np.random.default_rng(0).uniform(-0.5, 0.5, 16_000).astype(np.float32))
    talk = converse(serve(), [b"\0", update(vad=False), sound, CLOSE])
    kinds = {message["type"] for message in talk.messages}
    assert kinds == {"session.created", "session.updated", "measurement", "error", "session.closed"}
    for message in talk.messages:
        jsonschema.validate(message, payload(message["type"]))


@pytest.mark.parametrize(
    "message",
    [
        {"type": "session.update", "session": {}},
        {"type": "session.update", "session": StreamConfig(targets=["emotion"]).model_dump(), "key": "emo_1"},
        {"type": "session.update", "session": {"rate": 999}},
        {"type": "session.update", "session": {"channels": 9}},
        {"type": "session.update", "session": {"encoding": "wav"}},
        {"type": "session.update", "session": {"interval_ms": 60_001}},
        {"type": "session.update", "session": {"vad": "yes"}},
        {"type": "session.update", "session": {"targets": []}},
        {"type": "session.update"},
        {"type": "flush", "now": True},
        *({"type": kind} for kind in ("flush", "keep_alive", "session.close")),
    ],
)
def test_messages_of_a_client_are_taken_where_the_document_says_so(message: dict[str, Any]) -> None:
    described = jsonschema.Draft202012Validator(payload(message["type"])).is_valid(message)
    try:
        read_message(json.dumps(message))
        taken = True
    except StreamError:
        taken = False
    assert taken == described
