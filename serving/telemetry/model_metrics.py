"""Metrics of each model of a service that serves several: the others are of all models together."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class ModelMetrics:
    """Series by the name that a model has in URLs, which the settings give.

    Args:
        registry: where they are registered; each name once.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        what = "Whether a model answers, in every worker"
        self.ready = Gauge("emotions_model_ready", what, ("model",), registry=registry, multiprocess_mode="livemin")
        what = "New bundles, by whether they were taken or refused"
        self.changes = Counter("emotions_bundle_changes", what, ("model", "outcome"), registry=registry)
        self.recordings = Counter("emotions_model_recordings", "Recordings classified", ("model",), registry=registry)
        what = "Seconds of audio classified"
        self.audio_seconds = Counter("emotions_model_audio_seconds", what, ("model",), registry=registry)
        what = "Seconds of recordings in a model, with what they shared"
        self.inference_seconds = Counter("emotions_model_inference_seconds", what, ("model",), registry=registry)
