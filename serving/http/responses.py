"""Bodies of responses: predictions and the model as JSON."""

from __future__ import annotations

from typing import Any

import onnxruntime

import emotions
from serving.http.errors import RequestError, error_body
from serving.worker.engine import Engine, TimedPrediction

Body = dict[str, Any]

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_LIMITS = ("max_bytes", "max_seconds", "max_items", "max_items_bytes", "max_in_flight")


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
    """What is served: targets and labels, window, bundle, versions, device and limits."""
    manifest, session, settings = engine.predictor.manifest, engine.predictor.session, engine.settings
    return {
        "bundle": engine.predictor.bundle.id,
        "name": manifest.name,
        "targets": manifest.targets,
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
    scores = {
        "label": prediction.label,
        "confidence": prediction.confidence,
        "probabilities": prediction.probabilities,
        "duration_sec": prediction.duration_sec,
        "truncated": prediction.truncated,
        "warnings": [*prediction.warnings],
    }
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
    parts = classified.prediction.windows
    return {"windows": [{"start": part.start, "end": part.end, "probabilities": part.probabilities} for part in parts]}


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 3)
