"""Bodies of requests and responses: clips to a file's bytes, JSON to answers and errors."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import soundfile

from emotions.audio.decode import SAMPLE_RATE
from emotions.errors import AudioError, ServiceError
from emotions.runtime.prediction import ClipInput, Prediction, WindowPrediction

Json = dict[str, Any]


@dataclass(frozen=True)
class Answer(Prediction):
    """A prediction by the service. ``windows`` is empty unless they were asked for.

    Attributes:
        request_id: the request's id in the service's log.
        timing_ms: milliseconds of each stage in the service.
        usage: ``audio_sec`` that were classified, and ``processing_ms`` of decoding and of the model; empty of a
            service that says nothing of it.
        unknowns: whether the model was too unsure of each target that has a threshold.
    """

    bundle: str
    request_id: str
    timing_ms: dict[str, float]
    unknowns: dict[str, bool] = field(default_factory=dict, kw_only=True)
    usage: dict[str, float] = field(default_factory=dict, kw_only=True)

    @property
    def unknown(self) -> dict[str, bool]:
        """Whether the service answered unknown, by target."""
        return self.unknowns


Results = list[Answer | ServiceError]


def content(clip: ClipInput) -> bytes:
    """Any form of a clip to a file's bytes; an array becomes a WAV file. The file's name is never sent."""
    if isinstance(clip, bytes):
        return clip
    if isinstance(clip, (str, Path)):
        return Path(clip).read_bytes()
    samples, rate = clip if isinstance(clip, tuple) else (clip, SAMPLE_RATE)
    if not isinstance(samples, np.ndarray) or samples.ndim != 1 or not np.issubdtype(samples.dtype, np.floating):
        raise AudioError("a clip is a path, bytes, an array (samples,) of floats or (array, rate)")
    file = io.BytesIO()
    soundfile.write(file, samples.astype(np.float32), rate, format="WAV", subtype="FLOAT")
    return file.getvalue()


def read_body(response: httpx.Response) -> Json:
    """The answer's JSON; ServiceError where it is an error, or not ours."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if response.is_success and isinstance(body, dict):
        return body
    request_id = response.headers.get("x-request-id", "")
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, dict):
        raise _service_error(error, response.status_code, request_id)
    message = f"{response.url}: answered with {response.status_code}, and not as the service does"
    raise ServiceError(message, status=response.status_code, code="not_the_service", request_id=request_id)


def _service_error(error: Mapping[str, Any], status: int, request_id: str) -> ServiceError:
    return ServiceError(str(error.get("message")), status=status, code=str(error.get("code")), request_id=request_id)


def results(body: Json) -> Results:
    """The answer to a batch: for each recording its answer or its error."""
    shared = {"bundle": body["bundle"], "request_id": body["request_id"]}
    return [
        _service_error(item["error"], item["error"]["status"], body["request_id"])
        if "error" in item
        else answer({**item, **shared})
        for item in body["results"]
    ]


def answer(body: Json) -> Answer:
    """The answer to one recording."""
    return Answer(
        probabilities=body["probabilities"],
        windows=tuple(
            WindowPrediction(w["start"], w["end"], w["probabilities"], w.get("values", {}))
            for w in body.get("windows", ())
        ),
        duration_sec=body["duration_sec"],
        values=body.get("values", {}),
        bundle=body["bundle"],
        request_id=body["request_id"],
        timing_ms=body["timing_ms"],
        unknowns=body.get("unknowns", {}),
        usage=body.get("usage", {}),
        warnings=tuple(body.get("warnings", ())),
    )
