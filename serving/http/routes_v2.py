"""Handlers of the Open Inference Protocol, version 2, below ``/v2``: tensors in JSON or in binary.

Inputs are either ``waveform`` FP32 [batch, samples] at 16 kHz with, optionally, ``length`` INT64 [batch], or ``audio``
BYTES [batch]: recordings, in JSON as base64. Each row is a clip of any length; outputs are one FP32 [batch, classes] a
target.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import numpy as np
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response

import emotions
from emotions.bundle.manifest import LENGTH, WAVEFORM, Manifest
from emotions.bundle.targets import written_targets
from emotions.errors import AudioError
from emotions.runtime.prediction import Prediction
from serving.http.body.spool import spooled
from serving.http.body.stream import limited
from serving.http.body.tensors import InferenceRequest, malformed, parse
from serving.http.body.text import AUDIO
from serving.http.body.threads import in_thread
from serving.http.errors import Body, RequestError, of_status, to_request_error
from serving.http.models import engine_for
from serving.http.routes_v1 import while_connected
from serving.telemetry.requests import request_context
from serving.worker.engine import Clip, Engine
from serving.worker.state import WorkerState

JSON_LENGTH = "inference-header-content-length"
"""Header of the binary tensor extension: bytes of JSON before the binary."""


async def server(_: Request, __: WorkerState) -> Body:
    """Name the server."""
    return {"name": "emotions-toolkit", "version": emotions.__version__, "extensions": ["binary_tensor_data"]}


async def live(_: Request, __: WorkerState) -> Body:
    """Say that the process is alive."""
    return {"live": True}


async def ready(_: Request, worker: WorkerState) -> Body:
    """Say whether the model answers."""
    if not worker.ready:
        raise of_status(503)
    return {"ready": True}


async def model(request: Request, worker: WorkerState) -> Body:
    """Describe the model's tensors."""
    engine = _engine_of_model(request, worker)
    manifest = engine.predictor.manifest
    return {
        "name": engine.name,
        "versions": [_version(engine)],
        "platform": "onnxruntime_onnx",
        "inputs": [
            {"name": WAVEFORM, "datatype": "FP32", "shape": [-1, -1]},
            {"name": LENGTH, "datatype": "INT64", "shape": [-1]},
            {"name": AUDIO, "datatype": "BYTES", "shape": [-1]},
        ],
        "outputs": [
            {"name": name, "datatype": "FP32", "shape": [-1, len(about[0])], "parameters": about[1]}
            for name, about in _outputs(manifest).items()
        ],
    }


async def model_ready(request: Request, worker: WorkerState) -> Body:
    """Say whether this model answers."""
    engine = _engine_of_model(request, worker)
    if engine.lost or worker.drain.draining:
        raise of_status(503)
    return {"name": engine.name, "ready": True}


async def infer(request: Request, worker: WorkerState) -> Response | Body:
    """Classify a batch of tensors."""
    engine = _engine_of_model(request, worker)
    max_bytes, json_bytes = engine.settings.max_bytes, _json_bytes(request)
    context = request_context(request.scope)
    async with worker.drain.limit(engine.settings.timeout_sec) as limit:
        body = await spooled(limited(request, max_bytes, max_bytes))
        try:
            work = _classify_rows(body, json_bytes, engine, context.request_id, limit.when())
            inference, predictions = await while_connected(request, work)
        finally:
            body.file.close()
    context.log_fields["items"] = len(predictions)
    return _inference_response(inference, predictions, engine)


def _json_bytes(request: Request) -> int | None:
    """How many bytes of a body are JSON, where binary tensors follow."""
    declared = request.headers.get(JSON_LENGTH)
    if declared is not None and not re.fullmatch("[0-9]{1,18}", declared):
        raise malformed("Inference-Header-Content-Length is no number of bytes")
    return None if declared is None else int(declared)


def _version(engine: Engine) -> str:
    return engine.predictor.bundle.id.rpartition("@")[2]


def _engine_of_model(request: Request, worker: WorkerState) -> Engine:
    """The engine of the model that the path names; 404 for another model, or another version of this one."""
    engine = engine_for(request, worker)
    version = _version(engine)
    if request.path_params.get("version", version) != version:
        raise RequestError(404, "not_found", f"no such model; this is {engine.name!r}, version {version!r}")
    return engine


async def _classify_rows(
    body: UploadFile, json_bytes: int | None, engine: Engine, request_id: str, deadline: float | None
) -> tuple[InferenceRequest, list[Prediction]]:
    """Classify each row of a request; the first that cannot be used fails the request, as the protocol has it."""
    # Numbers in JSON would block the event loop.
    manifest = engine.predictor.manifest
    inference, clips = await in_thread(body.size, parse, body.file, json_bytes, engine.settings, manifest)

    async def classify(index: int, clip: Clip) -> Prediction:
        try:
            return (await engine.classify(clip, deadline)).prediction
        except AudioError as error:
            row_error = to_request_error(error, request_id)
            raise RequestError(row_error.status, row_error.code, f"row {index}: {error}") from error

    # All rows end before the first error is raised, so that none is left running.
    rows = await asyncio.gather(*(classify(*row) for row in enumerate(clips)), return_exceptions=True)
    failed = [row for row in rows if isinstance(row, BaseException)]
    if failed:
        raise failed[0]
    return inference, [row for row in rows if isinstance(row, Prediction)]


def _outputs(manifest: Manifest) -> dict[str, tuple[list[str], dict[str, Any]]]:
    """Each output's columns, and what is said of it: its labels, or its dimensions and their range."""
    about = written_targets(manifest.targets, manifest.ranges)
    return {name: (columns, about[name]) for name, columns in manifest.targets.items()}


def _inference_response(inference: InferenceRequest, predictions: list[Prediction], engine: Engine) -> Response | Body:
    """The outputs that are asked for, in JSON, or behind it where they are asked for in binary."""
    targets = _outputs(engine.predictor.manifest)
    names = [*targets] if inference.outputs is None else [output.name for output in inference.outputs]
    outputs, binary, answered = [], [], [each.answers for each in predictions]
    for name in names:
        columns, parameters = targets[name]
        scores = [answers[name][column] for answers in answered for column in columns]
        output: dict[str, Any] = {"name": name, "datatype": "FP32", "shape": [len(predictions), len(columns)]}
        if inference.is_binary(name):
            binary.append(np.array(scores, "<f4").tobytes())
            outputs.append({**output, "parameters": {**parameters, "binary_data_size": len(binary[-1])}})
        else:
            outputs.append({**output, "parameters": parameters, "data": scores})
    warnings = ["; ".join(each.warnings) for each in predictions]
    body = {
        "model_name": engine.name,
        "model_version": _version(engine),
        **({} if inference.id is None else {"id": inference.id}),
        **({"parameters": {"warnings": warnings}} if any(warnings) else {}),
        "outputs": outputs,
    }
    if not binary:
        return body
    text = json.dumps(body, ensure_ascii=False).encode()
    headers = {JSON_LENGTH: str(len(text))}
    return Response(b"".join([text, *binary]), headers=headers, media_type="application/octet-stream")
