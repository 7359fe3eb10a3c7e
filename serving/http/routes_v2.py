"""Handlers of the Open Inference Protocol, version 2, below ``/v2``: tensors in JSON, for clients of KServe and Triton.

Inputs are either ``waveform`` FP32 [batch, samples] at 16 kHz with, optionally, ``length`` INT64 [batch], or ``audio``
BYTES [batch]: recordings in base64. Each row is a clip of any length; outputs are one FP32 [batch, classes] a target.
"""

from __future__ import annotations

import asyncio

from starlette.requests import Request

import emotions
from emotions.bundle.manifest import LENGTH, WAVEFORM
from emotions.errors import AudioError
from emotions.runtime.prediction import Prediction
from serving.http.errors import Body, RequestError, of_status, to_request_error
from serving.http.routes_v1 import while_connected
from serving.http.tensors import AUDIO, InferenceRequest, parse
from serving.http.uploads import limited
from serving.telemetry.requests import request_context
from serving.worker.engine import Clip, Engine
from serving.worker.state import WorkerState


async def server(_: Request, __: WorkerState) -> Body:
    """Name the server."""
    return {"name": "emotions-toolkit", "version": emotions.__version__, "extensions": []}


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
        "name": manifest.name,
        "versions": [_version(engine)],
        "platform": "onnxruntime_onnx",
        "inputs": [
            {"name": WAVEFORM, "datatype": "FP32", "shape": [-1, -1]},
            {"name": LENGTH, "datatype": "INT64", "shape": [-1]},
            {"name": AUDIO, "datatype": "BYTES", "shape": [-1]},
        ],
        "outputs": [
            {"name": name, "datatype": "FP32", "shape": [-1, len(labels)], "parameters": {"labels": labels}}
            for name, labels in manifest.targets.items()
        ],
    }


async def model_ready(request: Request, worker: WorkerState) -> Body:
    """Say whether this model answers."""
    engine = _engine_of_model(request, worker)
    if not worker.ready:
        raise of_status(503)
    return {"name": engine.predictor.manifest.name, "ready": True}


async def infer(request: Request, worker: WorkerState) -> Body:
    """Classify a batch of tensors."""
    engine = _engine_of_model(request, worker)
    max_bytes = engine.settings.max_bytes
    context = request_context(request.scope)
    async with worker.drain.limit(engine.settings.timeout_sec) as limit:
        content = b"".join([chunk async for chunk in limited(request, max_bytes, max_bytes)])
        work = _classify_rows(content, engine, context.request_id, limit.when())
        inference, predictions = await while_connected(request, work)
    context.log_fields["items"] = len(predictions)
    return _inference_body(inference, predictions, engine)


def _version(engine: Engine) -> str:
    return engine.predictor.bundle.id.rpartition("@")[2]


def _engine_of_model(request: Request, worker: WorkerState) -> Engine:
    """The engine of the model that the path names; 404 for another model, or another version of this one."""
    engine = worker.loaded_engine()
    name, version = engine.predictor.manifest.name, _version(engine)
    if request.path_params["name"] != name or request.path_params.get("version", version) != version:
        raise RequestError(404, "not_found", f"no such model; this is {name!r}, version {version!r}")
    return engine


async def _classify_rows(
    content: bytes, engine: Engine, request_id: str, deadline: float | None
) -> tuple[InferenceRequest, list[Prediction]]:
    """Classify each row of a request; the first that cannot be used fails the request, as the protocol has it."""
    # Millions of numbers in JSON would block the event loop.
    inference, clips = await engine.in_decoder(parse, content, engine.settings.max_items, engine.predictor.manifest)

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


def _inference_body(inference: InferenceRequest, predictions: list[Prediction], engine: Engine) -> Body:
    targets = engine.predictor.manifest.targets
    names = [*targets] if inference.outputs is None else [output.name for output in inference.outputs]
    outputs = [
        {
            "name": name,
            "datatype": "FP32",
            "shape": [len(predictions), len(targets[name])],
            "parameters": {"labels": targets[name]},
            "data": [each.probabilities[name][label] for each in predictions for label in targets[name]],
        }
        for name in names
    ]
    warnings = ["; ".join(each.warnings) for each in predictions]
    return {
        "model_name": engine.predictor.manifest.name,
        "model_version": _version(engine),
        **({} if inference.id is None else {"id": inference.id}),
        **({"parameters": {"warnings": warnings}} if any(warnings) else {}),
        "outputs": outputs,
    }
