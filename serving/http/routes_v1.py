"""Handlers of the routes below ``/v1``, and of ``/metrics``, and the bodies of their responses."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

import onnxruntime
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

import emotions
from emotions.audio.speech.network import speech_network
from emotions.audio.speech.windows import Segments
from emotions.bundle.summary import warnings
from emotions.bundle.targets import written_targets
from emotions.errors import ConfigError
from emotions.runtime.prediction import WindowPrediction
from serving.http.body.uploads import check_recording, read_upload, read_uploads
from serving.http.errors import Body, RequestError, error_body, to_request_error
from serving.telemetry.requests import request_context
from serving.worker.engine import Engine, TimedPrediction
from serving.worker.state import WorkerState

T = TypeVar("T")
_TRUE = frozenset({"1", "true", "yes"})
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_LIMITS = ("max_bytes", "max_seconds", "max_items", "max_items_bytes", "max_in_flight")


async def predict(request: Request, worker: WorkerState) -> Body:
    """Classify an upload; ``?windows=1`` adds each window, ``?segments=speech`` classifies its speech alone."""
    engine, context = worker.loaded_engine(), request_context(request.scope)
    async with worker.drain.limit(engine.settings.timeout_sec) as limit:
        segments = _segments(request)
        upload = await read_upload(request, engine)
        try:
            classified = await while_connected(request, engine.classify(upload.file, limit.when(), segments))
        finally:
            upload.file.close()
    context.log_fields.update(log_fields(classified))
    return prediction_body(classified, engine, context.request_id, context.seconds, windows=_wants_windows(request))


async def predict_batch(request: Request, worker: WorkerState) -> Body:
    """Classify several uploads, each with a result or an error of its own; the query is that for one."""
    engine, context = worker.loaded_engine(), request_context(request.scope)
    async with worker.drain.limit(engine.settings.timeout_sec) as limit:
        segments = _segments(request)
        uploads = await read_uploads(request, engine)
        try:
            work = _classify_all(uploads, engine, context.request_id, limit.when(), segments)
            items = await while_connected(request, work)
        finally:
            for upload in uploads:
                upload.file.close()
    context.log_fields["items"] = len(items)
    for item in items:
        if isinstance(item, RequestError):
            worker.metrics.rejects.labels(item.code).inc()
    return batch_body(items, engine, context.request_id, context.seconds, windows=_wants_windows(request))


async def stream(_: Request, __: WorkerState) -> Response:
    """Refuse a request for ``/v1/stream`` that asks for no WebSocket."""
    raise RequestError(426, "upgrade_required", "live audio is sent over a WebSocket (RFC 6455)")


async def model(_: Request, worker: WorkerState) -> Body:
    """Describe the bundle that is served."""
    return model_body(worker.loaded_engine())


async def metrics(_: Request, worker: WorkerState) -> Response:
    """Show the metrics of all workers."""
    return Response(await asyncio.to_thread(worker.metrics.exposition), media_type=CONTENT_TYPE_LATEST)


def _wants_windows(request: Request) -> bool:
    return request.query_params.get("windows", "").lower() in _TRUE


def _segments(request: Request) -> Segments:
    """What of a recording is to be classified; RequestError where that is none of ours, or cannot be found here."""
    asked = request.query_params.get("segments", "windows")
    if asked == "windows":
        return "windows"
    if asked != "speech":
        raise RequestError(400, "bad_request", "segments is windows or speech")
    try:
        speech_network()
    except ConfigError as error:
        raise RequestError(501, "not_installed", str(error)) from error
    return "speech"


async def _classify_all(
    uploads: list[UploadFile], engine: Engine, request_id: str, deadline: float | None, segments: Segments
) -> list[TimedPrediction | RequestError]:
    """Classify the recordings of one request, at most as many at a time as fit a batch: others get their turn between.

    Where every one was refused for overload, the request is, so that it may be made again as a whole.
    """
    turns = asyncio.Semaphore(engine.max_batch)

    async def classify(upload: UploadFile) -> TimedPrediction | RequestError:
        async with turns:
            try:
                await check_recording(upload, engine)
                return await engine.classify(upload.file, deadline, segments)
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
    gone.add_done_callback(lambda _: task.cancel())
    try:
        return await task
    except asyncio.CancelledError:
        if gone.done() and not gone.cancelled():
            raise ClientDisconnect from None
        raise
    finally:
        gone.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        continue


def prediction_body(
    classified: TimedPrediction, engine: Engine, request_id: str, total_sec: float, *, windows: bool
) -> Body:
    """The response to one recording.

    Args:
        classified: its prediction.
        engine: what made it.
        request_id: id of the request.
        total_sec: seconds since the request arrived.
        windows: whether each window's prediction is part of it.
    """
    return {
        **_scores(classified),
        "timing_ms": {**_stages(classified), "total": _ms(total_sec)},
        "bundle": engine.predictor.bundle.id,
        "request_id": request_id,
        **(_windows(classified) if windows else {}),
    }


def batch_body(
    items: list[TimedPrediction | RequestError], engine: Engine, request_id: str, total_sec: float, *, windows: bool
) -> Body:
    """The response to several recordings, in their order: a prediction or an error each. As ``prediction_body``."""

    def result(item: TimedPrediction | RequestError) -> Body:
        if isinstance(item, RequestError):
            return {"error": {"status": item.status, **error_body(item)}}
        return {**_scores(item), "timing_ms": _stages(item), **(_windows(item) if windows else {})}

    return {
        "results": [{"index": index, **result(item)} for index, item in enumerate(items)],
        "errors": sum(isinstance(item, RequestError) for item in items),
        "timing_ms": {"total": _ms(total_sec)},
        "bundle": engine.predictor.bundle.id,
        "request_id": request_id,
    }


def log_fields(classified: TimedPrediction) -> dict[str, float]:
    """The figures of a recording for the access log."""
    stages = {f"{stage}_ms": value for stage, value in _stages(classified).items()}
    return {"audio_sec": round(classified.prediction.duration_sec, 3), **stages}


def model_body(engine: Engine) -> Body:
    """What is served: targets and labels, licences, what to beware of, window, bundle, versions, device and limits."""
    manifest, session, settings = engine.predictor.manifest, engine.predictor.session, engine.settings
    return {
        "bundle": engine.predictor.bundle.id,
        "name": manifest.name,
        "targets": manifest.labels,
        **({"dimensions": written_targets(manifest.dimensions, manifest.ranges)} if manifest.ranges else {}),
        "license": (manifest.encoder or {}).get("license"),
        "data_license": manifest.dataset.license if manifest.dataset else None,
        "warnings": warnings(manifest),
        "sample_rate": manifest.sample_rate,
        "window": manifest.window.model_dump(),
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


def _scores(classified: TimedPrediction) -> Body:
    prediction = classified.prediction
    scores: Body = {
        "label": prediction.label if prediction.probabilities else None,
        "confidence": prediction.confidence if prediction.probabilities else None,
        "probabilities": prediction.probabilities,
        **({"values": prediction.values} if prediction.values else {}),
        "duration_sec": prediction.duration_sec,
        "truncated": prediction.truncated,
        "warnings": [*prediction.warnings],
    }
    if prediction.segments:
        scores |= {"speech_sec": prediction.speech_sec, "segments": _parts(prediction.segments)}
    if unknowns := prediction.unknown:  # empty where the bundle has no thresholds
        first_target = next(iter(prediction.probabilities))
        scores |= {"unknown": unknowns.get(first_target, False), "unknowns": unknowns}
    return scores


def _stages(classified: TimedPrediction) -> Body:
    return {
        "decode": _ms(classified.decode_sec),
        "queue": _ms(classified.queue_sec),
        "inference": _ms(classified.inference_sec),
    }


def _windows(classified: TimedPrediction) -> Body:
    return {"windows": _parts(classified.prediction.windows)}


def _parts(parts: Iterable[WindowPrediction]) -> list[Body]:
    return [
        {
            "start": part.start,
            "end": part.end,
            "probabilities": part.probabilities,
            **({"values": part.values} if part.values else {}),
        }
        for part in parts
    ]


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 3)
