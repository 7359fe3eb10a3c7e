"""The HTTP routes: ``POST /v1/predict`` and ``GET /v1/model``."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from emotions.errors import EmotionsError
from serving.engine import Classified, Engine
from serving.errors import CLIENT_GONE, RequestError, as_request_error, error_response, of_status
from serving.middleware import HEADER, request_id
from serving.upload import read_upload

T = TypeVar("T")
Body = dict[str, Any]
Endpoint = Callable[[Request, Engine], Awaitable[Body]]
logger = logging.getLogger("bentoml.emotions")

_TRUE = frozenset({"1", "true", "yes"})


class Routes:
    """The routes of one worker. Until ``engine`` is set they answer 503."""

    def __init__(self) -> None:
        self.engine: Engine | None = None

    def app(self) -> Starlette:
        """The routes as an ASGI application, to be mounted at the root."""
        return Starlette(
            routes=[
                Route("/v1/predict", self.predict, methods=["POST"]),
                Route("/v1/model", self.model, methods=["GET"]),
            ]
        )

    async def predict(self, request: Request) -> Response:
        """Classify an upload; ``?windows=1`` adds what the model says of each window."""
        return await self._answered(request, self._predict)

    async def model(self, request: Request) -> Response:
        """Say what is served: targets and labels, window, bundle, device and limits."""
        return await self._answered(request, _model)

    async def _answered(self, request: Request, endpoint: Endpoint) -> Response:
        """Run an endpoint; whatever it raises becomes an error response."""
        name = request_id(request)
        try:
            if self.engine is None:
                raise of_status(503)
            body = await endpoint(request, self.engine)
        except ClientDisconnect:
            return error_response(RequestError(CLIENT_GONE, "client_gone", "the client left"), name)
        except TimeoutError:
            return error_response(of_status(504), name)
        except EmotionsError as error:
            answer = as_request_error(error)
            if answer.status == 500:
                logger.exception("request %s failed", name)
            return error_response(answer, name)
        except Exception:
            logger.exception("request %s failed", name)
            return error_response(of_status(500), name)
        return JSONResponse(body, headers={HEADER: name})

    async def _predict(self, request: Request, engine: Engine) -> Body:
        started = time.perf_counter()
        with engine.admitted():
            async with asyncio.timeout(engine.settings.timeout_sec):
                upload = await read_upload(request, engine.settings.max_bytes)
                try:
                    classified = await _while_connected(request, engine.classify(upload.file))
                finally:
                    upload.file.close()
        windows = request.query_params.get("windows", "").lower() in _TRUE
        total_sec = time.perf_counter() - started
        return prediction_body(classified, engine, request_id(request), total_sec, windows=windows)


async def _model(_: Request, engine: Engine) -> Body:
    manifest, session, limits = engine.predictor.manifest, engine.predictor.session, engine.settings
    return {
        "bundle": engine.predictor.bundle.id,
        "name": manifest.name,
        "targets": manifest.targets,
        "sample_rate": manifest.sample_rate,
        "window": manifest.window.model_dump(),
        "device": session.device,
        "variant": session.variant,
        "limits": {
            "max_bytes": limits.max_bytes,
            "max_seconds": limits.max_seconds,
            "max_in_flight": limits.max_in_flight,
            "max_batch": engine.max_batch,
            "timeout_sec": limits.timeout_sec,
        },
    }


def prediction_body(classified: Classified, engine: Engine, name: str, total_sec: float, *, windows: bool) -> Body:
    """The JSON answer to one recording; ``name`` is the request's id."""
    prediction = classified.prediction
    seconds = {
        "decode": classified.decode_sec,
        "queue": classified.queue_sec,
        "inference": classified.inference_sec,
        "total": total_sec,
    }
    body: Body = {
        "label": prediction.label,
        "confidence": prediction.confidence,
        "probabilities": prediction.probabilities,
        "duration_sec": prediction.duration_sec,
        "timing_ms": {stage: round(1000 * value, 3) for stage, value in seconds.items()},
        "bundle": engine.predictor.bundle.id,
        "request_id": name,
    }
    if windows:
        body["windows"] = [
            {"start": part.start, "end": part.end, "probabilities": part.probabilities} for part in prediction.windows
        ]
    return body


async def _while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Await ``work``, and cancel it when the client leaves first.

    Raises:
        ClientDisconnect: the client left.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        task.cancel()
        gone.cancel()


async def _gone(request: Request) -> None:
    """Return when the client has left; the body has been read by then."""
    while (await request.receive())["type"] != "http.disconnect":
        continue
