"""What the service answers: predictions and the model as JSON."""

from __future__ import annotations

from typing import Any

import onnxruntime

import emotions
from emotions.runtime.prediction import Prediction
from serving.http.errors import RequestError, error_body
from serving.worker.engine import Engine, TimedPrediction

Body = dict[str, Any]

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


def prediction_body(classified: TimedPrediction, engine: Engine, name: str, total_sec: float, *, windows: bool) -> Body:
    """The JSON answer to one recording; ``name`` is the request's id."""
    return {
        **_scores(classified),
        "timing_ms": {**_stages(classified), "total": _ms(total_sec)},
        "bundle": engine.predictor.bundle.id,
        "request_id": name,
        **(_windows(classified) if windows else {}),
    }


def batch_body(
    items: list[TimedPrediction | RequestError], engine: Engine, name: str, total_sec: float, *, windows: bool
) -> Body:
    """The JSON answer to several recordings, in their order: a result or an error for each."""
    return {
        "results": [{"index": index, **_item(item, windows=windows)} for index, item in enumerate(items)],
        "errors": sum(isinstance(item, RequestError) for item in items),
        "timing_ms": {"total": _ms(total_sec)},
        "bundle": engine.predictor.bundle.id,
        "request_id": name,
    }


def facts(classified: TimedPrediction) -> dict[str, float]:
    """The figures of a recording for the log."""
    stages = {f"{stage}_ms": value for stage, value in _stages(classified).items()}
    return {"audio_sec": round(classified.prediction.duration_sec, 3), **stages}


def model_body(engine: Engine) -> Body:
    """What is served: targets and labels, window, bundle, versions, device and limits."""
    manifest, session, limits = engine.predictor.manifest, engine.predictor.session, engine.settings
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
            "max_bytes": limits.max_bytes,
            "max_seconds": limits.max_seconds,
            "max_items": limits.max_items,
            "max_items_bytes": limits.max_items_bytes,
            "max_in_flight": limits.max_in_flight,
            "max_batch": engine.max_batch,
            "timeout_sec": limits.timeout_sec,
        },
    }


def _item(item: TimedPrediction | RequestError, *, windows: bool) -> Body:
    if isinstance(item, RequestError):
        return {"error": {"status": item.status, **error_body(item)}}
    return {**_scores(item), "timing_ms": _stages(item), **(_windows(item) if windows else {})}


def _scores(classified: TimedPrediction) -> Body:
    prediction = classified.prediction
    return {
        "label": prediction.label,
        "confidence": prediction.confidence,
        "probabilities": prediction.probabilities,
        "duration_sec": prediction.duration_sec,
        **_unknown(prediction),
    }


def _unknown(prediction: Prediction) -> Body:
    """Whether the model is too little sure: of the first target, and of each; nothing where it has no thresholds."""
    unknown_targets = prediction.unknown
    return (
        {"unknown": unknown_targets.get(next(iter(prediction.probabilities)), False), "unknowns": unknown_targets}
        if unknown_targets
        else {}
    )


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
