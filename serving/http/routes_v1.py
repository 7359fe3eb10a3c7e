"""Handlers of the routes below ``/v1``, and of ``/metrics``."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import onnxruntime
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

import emotions
from emotions.bundle.description import description
from serving.http.body.uploads import check_recording, read_upload, read_uploads
from serving.http.errors import Body, RequestError, to_request_error
from serving.http.models import engine_for, model_list
from serving.http.participants import Answer, classify_upload
from serving.http.query import Query, read_query
from serving.http.responses import batch_body, log_fields, prediction_body
from serving.telemetry.requests import request_context
from serving.worker.engine import Engine
from serving.worker.state import WorkerState

T = TypeVar("T")
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_LIMITS = ("max_bytes", "max_seconds", "max_items", "max_items_bytes", "max_in_flight")


async def predict(request: Request, worker: WorkerState) -> Body:
    """Classify an upload, as the query says: windows, segments, channels, speakers, calls."""
    engine, context = engine_for(request, worker), request_context(request.scope)
    async with worker.drain.limit(engine.settings.timeout_sec) as limit:
        query = read_query(request)
        upload = await read_upload(request, engine)
        try:
            work = classify_upload(upload.file, engine, limit.when(), query, context.request_id)
            answer = await while_connected(request, work)
        finally:
            upload.file.close()
    context.log_fields.update(log_fields(answer))
    return prediction_body(answer, engine, context.request_id, context.seconds)


async def predict_batch(request: Request, worker: WorkerState) -> Body:
    """Classify several uploads, each with a result or an error of its own; the query is that for one."""
    engine, context = engine_for(request, worker), request_context(request.scope)
    async with worker.drain.limit(engine.settings.timeout_sec) as limit:
        query = read_query(request)
        uploads = await read_uploads(request, engine)
        try:
            work = _classify_all(uploads, engine, context.request_id, limit.when(), query)
            items = await while_connected(request, work)
        finally:
            for upload in uploads:
                upload.file.close()
    context.log_fields["items"] = len(items)
    for item in items:
        if isinstance(item, RequestError):
            worker.metrics.rejects.labels(item.code).inc()
    return batch_body(items, engine, context.request_id, context.seconds)


async def stream(_: Request, __: WorkerState) -> Response:
    """Refuse a request for ``/v1/stream`` that asks for no WebSocket."""
    raise RequestError(426, "upgrade_required", "live audio is sent over a WebSocket (RFC 6455)")


async def model(request: Request, worker: WorkerState) -> Body:
    """Describe a bundle that is served."""
    return model_body(engine_for(request, worker))


async def models(_: Request, worker: WorkerState) -> Body:
    """Name the models that are served, and say of each whether it answers."""
    return {"models": model_list(worker)}


async def metrics(_: Request, worker: WorkerState) -> Response:
    """Show the metrics of all workers."""
    return Response(await asyncio.to_thread(worker.metrics.exposition), media_type=CONTENT_TYPE_LATEST)


async def _classify_all(
    uploads: list[UploadFile], engine: Engine, request_id: str, deadline: float | None, query: Query
) -> list[Answer | RequestError]:
    """Classify the recordings of one request, at most as many at a time as fit a batch: others get their turn between.

    Where every one was refused for overload, the request is, so that it may be made again as a whole.
    """
    turns = asyncio.Semaphore(engine.max_batch)

    async def classify(upload: UploadFile) -> Answer | RequestError:
        async with turns:
            try:
                await check_recording(upload, engine)
                return await classify_upload(upload.file, engine, deadline, query, request_id)
            except Exception as error:  # noqa: BLE001 - one bad item fails alone
                return to_request_error(error, request_id)

    items = await asyncio.gather(*map(classify, uploads))
    refused = [item for item in items if isinstance(item, RequestError) and item.retry]
    if len(refused) == len(items):
        raise refused[0]
    return items


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Await ``work``, and cancel it when the client disconnects first, which raises ``ClientDisconnect``.

    Args:
        request: its body has been read.
        work: what to await.
    """
    task, working = asyncio.current_task(), True
    gone = asyncio.ensure_future(_disconnected(request))

    def end(_: asyncio.Future[None]) -> None:
        if task is not None and working and not gone.cancelled():
            task.cancel()

    gone.add_done_callback(end)
    try:
        return await work
    except asyncio.CancelledError:
        if task is not None and gone.done() and not gone.cancelled():
            task.uncancel()
            raise ClientDisconnect from None
        raise
    finally:
        working = False
        gone.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        continue


def model_body(engine: Engine) -> Body:
    """What is served: targets and labels, licences, what to beware of, window, bundle, versions, device and limits."""
    manifest, session, settings = engine.predictor.manifest, engine.predictor.session, engine.settings
    return {
        **description(engine.predictor.bundle),
        "device": session.device,
        "provider": _PROVIDERS[session.device],
        "variant": session.variant,
        "versions": {
            "toolkit": emotions.__version__,
            "bundle_written_by": manifest.toolkit_version,
            "onnxruntime": onnxruntime.__version__,
        },
        "limits": {
            **{name: getattr(settings, name) for name in _LIMITS},
            "max_batch": engine.max_batch,
            "timeout_sec": settings.timeout_sec,
        },
    }
