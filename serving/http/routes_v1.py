"""Handlers of the routes below ``/v1``, and of ``/metrics``."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from serving.http.errors import RequestError, to_request_error
from serving.http.responses import Body, batch_body, log_fields, model_body, prediction_body
from serving.http.uploads import check_size, read_upload, read_uploads
from serving.http.worker_state import WorkerState
from serving.telemetry.request_context import request_context
from serving.worker.engine import Engine, TimedPrediction

T = TypeVar("T")
_TRUE = frozenset({"1", "true", "yes"})


async def predict(request: Request, worker: WorkerState) -> Body:
    """Classify an upload; ``?windows=1`` adds what the model says of each window."""
    engine, context = worker.loaded_engine(), request_context(request.scope)
    async with worker.drain.limit(engine.settings.timeout_sec) as limit:
        upload = await read_upload(request, engine.settings.max_bytes)
        try:
            classified = await while_connected(request, engine.classify(upload.file, limit.when()))
        finally:
            upload.file.close()
    context.log_fields.update(log_fields(classified))
    return prediction_body(classified, engine, context.request_id, context.seconds, windows=_wants_windows(request))


async def predict_batch(request: Request, worker: WorkerState) -> Body:
    """Classify several uploads, each with a result or an error of its own; ``?windows=1`` as for one."""
    engine, context = worker.loaded_engine(), request_context(request.scope)
    async with worker.drain.limit(engine.settings.timeout_sec) as limit:
        uploads = await read_uploads(request, engine.settings)
        try:
            work = _classify_all(uploads, engine, context.request_id, limit.when())
            items = await while_connected(request, work)
        finally:
            for upload in uploads:
                upload.file.close()
    context.log_fields["items"] = len(items)
    for item in items:
        if isinstance(item, RequestError):
            worker.metrics.rejects.labels(item.code).inc()
    return batch_body(items, engine, context.request_id, context.seconds, windows=_wants_windows(request))


async def model(_: Request, worker: WorkerState) -> Body:
    """Describe the bundle that is served."""
    return model_body(worker.loaded_engine())


async def metrics(_: Request, worker: WorkerState) -> Response:
    """Show the metrics of all workers."""
    return Response(await asyncio.to_thread(worker.metrics.exposition), media_type=CONTENT_TYPE_LATEST)


def _wants_windows(request: Request) -> bool:
    return request.query_params.get("windows", "").lower() in _TRUE


async def _classify_all(
    uploads: list[UploadFile], engine: Engine, request_id: str, deadline: float | None
) -> list[TimedPrediction | RequestError]:
    """Classify the recordings of one request, at most as many at a time as fit a batch: others get their turn between.

    Where every one was refused for overload, the request is, so that it may be made again as a whole.
    """
    turns = asyncio.Semaphore(engine.max_batch)

    async def classify(upload: UploadFile) -> TimedPrediction | RequestError:
        async with turns:
            try:
                check_size(upload, engine.settings.max_bytes)
                return await engine.classify(upload.file, deadline)
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
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        task.cancel()
        gone.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        continue
