"""The Open Inference Protocol, version 2, below ``/v2``: the model's tensors in JSON, for clients of KServe and Triton.

Inputs are either ``waveform`` FP32 [batch, samples] at 16 kHz with, optionally, ``length`` INT64 [batch], or ``audio``
BYTES [batch]: recordings in base64. Each row is a clip of any length; outputs are one FP32 [batch, classes] a target.
"""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import emotions
from emotions.bundle.manifest import LENGTH, WAVEFORM
from emotions.errors import AudioError
from emotions.runtime.prediction import Prediction
from serving.http.errors import RequestError, as_request_error, error_response, of_status
from serving.http.responses import Body
from serving.http.routes_v1 import Routes, while_connected
from serving.http.tensors import AUDIO, InferenceRequest, parse
from serving.http.uploads import limited
from serving.telemetry.request_record import exchange
from serving.worker.engine import Clip, Engine

_MODEL = "/v2/models/{name}"
_VERSION = _MODEL + "/versions/{version}"


class InferenceProtocol:
    """The routes below ``/v2``."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes

    def all(self) -> list[Route]:
        """Each route with its handler."""
        plain = [
            Route("/v2", self.server, methods=["GET"]),
            Route("/v2/health/live", self.live, methods=["GET"]),
            Route("/v2/health/ready", self.ready, methods=["GET"]),
        ]
        named = [
            route
            for path in (_MODEL, _VERSION)
            for route in (
                Route(path, self.model, methods=["GET"]),
                Route(f"{path}/ready", self.model_ready, methods=["GET"]),
                Route(f"{path}/infer", self.infer, methods=["POST"]),
            )
        ]
        return plain + named

    async def server(self, _: Request) -> Response:
        """Name the server."""
        return JSONResponse({"name": "emotions-toolkit", "version": emotions.__version__, "extensions": []})

    async def live(self, _: Request) -> Response:
        """Say that the process lives."""
        return JSONResponse({"live": True})

    async def ready(self, request: Request) -> Response:
        """Say whether the model answers."""
        if self._routes.ready:
            return JSONResponse({"ready": True})
        return error_response(of_status(503), exchange(request.scope))

    async def model(self, request: Request) -> Response:
        """Name the model's tensors."""
        return await self._routes.answered(request, _metadata)

    async def model_ready(self, request: Request) -> Response:
        """Say whether this model answers."""
        return await self._routes.answered(request, self._model_ready)

    async def infer(self, request: Request) -> Response:
        """Classify a batch of tensors."""
        return await self._routes.answered(request, self._infer)

    async def _model_ready(self, request: Request, engine: Engine) -> Body:
        _check_name(request, engine)
        if not self._routes.ready:
            raise of_status(503)
        return {"name": engine.predictor.manifest.name, "ready": True}

    async def _infer(self, request: Request, engine: Engine) -> Body:
        _check_name(request, engine)
        settings = engine.settings
        with engine.admitted():
            async with self._routes.drain.limit(settings.timeout_sec) as until:
                content = b"".join([chunk async for chunk in limited(request, settings.max_bytes, settings.max_bytes)])
                work = _classified(content, engine, until.when())
                asked, predictions = await while_connected(request, work)
        exchange(request.scope).facts["items"] = len(predictions)
        return _response(asked, predictions, engine)


def _version(engine: Engine) -> str:
    return engine.predictor.bundle.id.rpartition("@")[2]


def _check_name(request: Request, engine: Engine) -> None:
    """Refuse another model, or another version of this one.

    Raises:
        RequestError: 404.
    """
    name, version = engine.predictor.manifest.name, _version(engine)
    asked = request.path_params
    if asked["name"] != name or asked.get("version", version) != version:
        raise RequestError(404, "not_found", f"no such model; this is {name!r}, version {version!r}")


async def _metadata(request: Request, engine: Engine) -> Body:
    _check_name(request, engine)
    manifest = engine.predictor.manifest
    inputs = [
        {"name": WAVEFORM, "datatype": "FP32", "shape": [-1, -1]},
        {"name": LENGTH, "datatype": "INT64", "shape": [-1]},
        {"name": AUDIO, "datatype": "BYTES", "shape": [-1]},
    ]
    outputs = [
        {"name": name, "datatype": "FP32", "shape": [-1, len(labels)], "parameters": {"labels": labels}}
        for name, labels in manifest.targets.items()
    ]
    return {
        "name": manifest.name,
        "versions": [_version(engine)],
        "platform": "onnxruntime_onnx",
        "inputs": inputs,
        "outputs": outputs,
    }


async def _classified(
    content: bytes, engine: Engine, deadline: float | None
) -> tuple[InferenceRequest, list[Prediction]]:
    """Classify each row of a request; the first that cannot be used fails it as a whole, as the protocol has it."""
    # Millions of numbers in JSON would hold up the event loop.
    asked, clips = await engine.in_decoder(parse, content, engine.settings.max_items, engine.predictor.manifest)

    async def classify(index: int, clip: Clip) -> Prediction:
        try:
            return (await engine.classify(clip, deadline)).prediction
        except AudioError as error:
            told = as_request_error(error)
            raise RequestError(told.status, told.code, f"row {index}: {error}") from error

    rows = await asyncio.gather(*(classify(*row) for row in enumerate(clips)), return_exceptions=True)
    failed = [row for row in rows if isinstance(row, BaseException)]
    if failed:
        raise failed[0]
    return asked, [row for row in rows if isinstance(row, Prediction)]


def _response(asked: InferenceRequest, predictions: list[Prediction], engine: Engine) -> Body:
    targets = engine.predictor.manifest.targets
    names = [*targets] if asked.outputs is None else [output.name for output in asked.outputs]
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
    named = {"id": asked.id} if asked.id is not None else {}
    return {
        "model_name": engine.predictor.manifest.name,
        "model_version": _version(engine),
        **named,
        "outputs": outputs,
    }
