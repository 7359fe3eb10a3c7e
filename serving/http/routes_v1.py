"""The HTTP routes below ``/v1``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from emotions.errors import EmotionsError
from serving.http.errors import CLIENT_GONE, RequestError, as_request_error, error_response, of_status
from serving.http.openapi import PAGE, PAGE_HEADERS, document
from serving.http.responses import Body, batch_body, facts, model_body, prediction_body
from serving.http.uploads import check_size, read_upload, read_uploads
from serving.telemetry.metrics import Metrics
from serving.telemetry.request_record import CLASSIFYING, HEADER, RequestContext, exchange
from serving.worker.engine import Engine, TimedPrediction
from serving.worker.shutdown import Drain

T = TypeVar("T")
Endpoint = Callable[[Request, Engine], Awaitable[Body]]
logger = logging.getLogger("bentoml.emotions")

_SHUTTING_DOWN = RequestError(503, "shutting_down", "the service is shutting down", retry=True)
_TRUE = frozenset({"1", "true", "yes"})


class Routes:
    """The routes of one worker. Until ``engine`` is set they answer 503.

    Args:
        metrics: what ``/metrics`` shows.
        drain: the requests in flight.
        docs: what ``/docs.json``, which the Swagger page reads, shows.
    """

    def __init__(self, metrics: Metrics, drain: Drain, docs: Callable[[], Body] = document) -> None:
        self.engine: Engine | None = None
        self.drain = drain
        self._metrics = metrics
        self._docs = docs

    def all(self) -> list[Route]:
        """Each route with its handler."""
        return [
            Route("/", self.index, methods=["GET"]),
            Route("/v1/predict", self.predict, methods=["POST"]),
            Route("/v1/predict/batch", self.predict_batch, methods=["POST"]),
            Route("/v1/model", self.model, methods=["GET"]),
            Route("/v1/openapi.json", self.openapi, methods=["GET"]),
            Route("/docs.json", self.docs, methods=["GET"]),
            Route("/metrics", self.exposition, methods=["GET"]),
        ]

    @property
    def ready(self) -> bool:
        """Whether the model is loaded and the worker is not about to end."""
        return self.engine is not None and not self.drain.draining

    def admit(self, asked: RequestContext) -> None:
        """Refuse a request to classify that there is no room for, before anything is spent on it.

        Raises as ``Engine.check_room``.
        """
        if self.engine is not None and asked.method == "POST" and asked.route in CLASSIFYING:
            self.engine.check_room()

    async def predict(self, request: Request) -> Response:
        """Classify an upload; ``?windows=1`` adds what the model says of each window."""
        return await self.answered(request, self._predict)

    async def predict_batch(self, request: Request) -> Response:
        """Classify several uploads, each with a result or an error of its own; ``?windows=1`` as for one."""
        return await self.answered(request, self._predict_batch)

    async def model(self, request: Request) -> Response:
        """Say what is served."""
        return await self.answered(request, _model)

    async def openapi(self, _: Request) -> Response:
        """Describe the routes, ready or not."""
        return JSONResponse(document())

    async def index(self, _: Request) -> Response:
        """Show the Swagger page."""
        return HTMLResponse(PAGE, headers=PAGE_HEADERS)

    async def docs(self, _: Request) -> Response:
        """Describe the routes and BentoML's own, for its Swagger page."""
        return JSONResponse(self._docs())

    async def exposition(self, _: Request) -> Response:
        """Show the metrics of all workers."""
        return Response(await asyncio.to_thread(self._metrics.exposition), media_type=CONTENT_TYPE_LATEST)

    async def answered(self, request: Request, endpoint: Endpoint) -> Response:
        """Answer by an endpoint; whatever it raises becomes an error response."""
        asked = exchange(request.scope)
        try:
            if self.engine is None:
                raise of_status(503)
            body = await endpoint(request, self.engine)
        except ClientDisconnect:
            return error_response(RequestError(CLIENT_GONE, "client_gone", "the client left"), asked)
        except TimeoutError:
            return error_response(_SHUTTING_DOWN if self.drain.draining else of_status(504), asked)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            return error_response(to_request_error(error, asked.id), asked)
        return JSONResponse(body, headers={HEADER: asked.id})

    async def _predict(self, request: Request, engine: Engine) -> Body:
        asked = exchange(request.scope)
        with engine.admitted():
            async with self.drain.limit(engine.settings.timeout_sec) as limited:
                upload = await read_upload(request, engine.settings.max_bytes)
                try:
                    classified = await while_connected(request, engine.classify(upload.file, limited.when()))
                finally:
                    upload.file.close()
        asked.facts.update(facts(classified))
        return prediction_body(classified, engine, asked.id, asked.seconds, windows=_wants_windows(request))

    async def _predict_batch(self, request: Request, engine: Engine) -> Body:
        asked = exchange(request.scope)
        with engine.admitted():
            async with self.drain.limit(engine.settings.timeout_sec) as limited:
                uploads = await read_uploads(request, engine.settings)
                try:
                    items = await while_connected(request, _classify_all(uploads, engine, asked.id, limited.when()))
                finally:
                    for upload in uploads:
                        upload.file.close()
        asked.facts["items"] = len(items)
        for item in items:
            if isinstance(item, RequestError):
                self._metrics.rejects.labels(item.code).inc()
        return batch_body(items, engine, asked.id, asked.seconds, windows=_wants_windows(request))


async def _model(_: Request, engine: Engine) -> Body:
    return model_body(engine)


def _wants_windows(request: Request) -> bool:
    return request.query_params.get("windows", "").lower() in _TRUE


async def _classify_all(
    uploads: list[UploadFile], engine: Engine, name: str, deadline: float | None
) -> list[TimedPrediction | RequestError]:
    """Classify the recordings of one request, a batch of the model at a time: others get their turn in between.

    Raises:
        RequestError: every one was refused for overload, so that the request may be made again as a whole.
    """
    turns = asyncio.Semaphore(engine.max_batch)

    async def classify(upload: UploadFile) -> TimedPrediction | RequestError:
        async with turns:
            try:
                check_size(upload, engine.settings.max_bytes)
                return await engine.classify(upload.file, deadline)
            except Exception as error:  # noqa: BLE001 - one bad item fails alone
                return to_request_error(error, name)

    items = await asyncio.gather(*map(classify, uploads))
    refused = [item for item in items if isinstance(item, RequestError) and item.retry]
    if len(refused) == len(items):
        raise refused[0]
    return items


def to_request_error(error: Exception, name: str) -> RequestError:
    """What a client is told of ``error``; one of our own making is logged, with the request's id ``name``."""
    answer = as_request_error(error) if isinstance(error, EmotionsError) else of_status(500)
    if answer.status == 500:
        logger.error("request %s failed", name, exc_info=error)
    return answer


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
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
