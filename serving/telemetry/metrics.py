"""What Prometheus is told, on ``/metrics``: figures of requests, audio and answers. Never a name, never a raw path.

Several workers share the counters through files, as ``prometheus_client`` does where ``PROMETHEUS_MULTIPROC_DIR`` is
set; ``bentoml serve`` sets it, and ``serving.telemetry.metrics_dir`` gives each server one of its own. BentoML's
own metrics are off: they make a series of every path that a client invents.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
from pathlib import Path

import onnxruntime
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

import emotions
from emotions.audio.decode import SAMPLE_RATE
from emotions.audio.windows import FloatArray, IntArray
from emotions.predictor import Predictor
from emotions.runtime.prediction import Prediction
from serving.telemetry.metrics_dir import DIRECTORY, use_metrics_dir
from serving.telemetry.request_context import RequestContext

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)
_FACTORS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3)


class Metrics:
    """The metrics of one process.

    Args:
        registry: where they are kept; a registry holds them once.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        use_metrics_dir()
        self._registry = registry
        self._requests(registry)
        self._audio(registry)
        self._answers(registry)
        self._state(registry)

    def _requests(self, registry: CollectorRegistry) -> None:
        labels = ("route", "method", "status")
        self.requests = Counter("emotions_requests", "Requests answered", labels, registry=registry)
        self.request_seconds = Histogram(
            "emotions_request_seconds", "Seconds of a request", ("route",), buckets=_SECONDS, registry=registry
        )
        self.reject_seconds = Histogram(
            "emotions_reject_seconds", "Seconds until a request was shed", buckets=_SECONDS, registry=registry
        )
        self.rejects = Counter(
            "emotions_rejects", "Requests and items refused, by the error's code", ("reason",), registry=registry
        )

    def _audio(self, registry: CollectorRegistry) -> None:
        def seconds(name: str, what: str) -> Histogram:
            return Histogram(f"emotions_{name}_seconds", what, buckets=_SECONDS, registry=registry)

        self.decode_seconds = seconds("decode", "Seconds of decoding one recording")
        self.queue_seconds = seconds("queue", "Seconds that one recording waited")
        self.inference_seconds = seconds("inference", "Seconds of one recording in the model, with what it shared")
        self.batch_seconds = seconds("batch", "Seconds of one run of the model")
        self.audio_seconds = Counter("emotions_audio_seconds", "Seconds of audio classified", registry=registry)
        self.batch_size = Histogram(
            "emotions_batch_size", "Windows in one run of the model", buckets=_BATCHES, registry=registry
        )
        self.padding_efficiency = Histogram(
            "emotions_padding_efficiency",
            "Share of the samples of one run that are audio, not padding",
            buckets=_SHARES,
            registry=registry,
        )
        self.real_time_factor = Histogram(
            "emotions_real_time_factor",
            "Seconds of decoding and of the model for one second of audio",
            buckets=_FACTORS,
            registry=registry,
        )

    def _answers(self, registry: CollectorRegistry) -> None:
        self.predictions = Counter(
            "emotions_predictions", "Recordings given a label", ("target", "label"), registry=registry
        )
        self.confidence = Histogram(
            "emotions_confidence", "Probability of the label given", ("target",), buckets=_SHARES, registry=registry
        )

    def _state(self, registry: CollectorRegistry) -> None:
        self.in_flight = Gauge(
            "emotions_in_flight", "Requests in flight", multiprocess_mode="livesum", registry=registry
        )
        self.queued_audio = Gauge(
            "emotions_queued_audio_seconds",
            "Seconds of audio that wait for the model",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.build = Gauge(
            "emotions_build_info",
            "Versions",
            ("version", "python", "onnxruntime"),
            multiprocess_mode="max",
            registry=registry,
        )
        self.bundle = Gauge(
            "emotions_bundle_info",
            "The bundle that is served",
            ("bundle", "variant", "device"),
            multiprocess_mode="max",
            registry=registry,
        )

    def serving(self, predictor: Predictor) -> None:
        """Say what is served, and make a series of each label: a share of zero is a figure as well."""
        self.build.labels(emotions.__version__, platform.python_version(), onnxruntime.__version__).set(1)
        self.bundle.labels(predictor.bundle.id, predictor.session.variant, predictor.session.device).set(1)
        for target, labels in predictor.manifest.targets.items():
            for label in labels:
                self.predictions.labels(target, label)

    def answered(self, context: RequestContext) -> None:
        """Count a request that was answered."""
        route = context.route.path
        self.requests.labels(route, context.method, context.status).inc()
        self.request_seconds.labels(route).observe(context.seconds)
        if context.code:
            self.rejects.labels(context.code).inc()
        if context.status in {429, 503}:
            self.reject_seconds.observe(context.seconds)

    def ran(self, waveform: FloatArray, length: IntArray, seconds: float) -> None:
        """Count a run of the model on (batch, samples) with their lengths (batch,)."""
        self.batch_seconds.observe(seconds)
        self.batch_size.observe(len(length))
        self.padding_efficiency.observe(float(length.sum()) / max(waveform.size, 1))

    def classified(self, prediction: Prediction, decode_sec: float, queue_sec: float, inference_sec: float) -> None:
        """Count a recording that was classified."""
        self.decode_seconds.observe(decode_sec)
        self.queue_seconds.observe(queue_sec)
        self.inference_seconds.observe(inference_sec)
        self.audio_seconds.inc(prediction.duration_sec)
        self.real_time_factor.observe((decode_sec + inference_sec) / max(prediction.duration_sec, 1 / SAMPLE_RATE))
        for target, label in prediction.labels.items():
            self.predictions.labels(target, label).inc()
            self.confidence.labels(target).observe(prediction.probabilities[target][label])

    def exposition(self) -> bytes:
        """All metrics of all workers, in the text format of Prometheus."""
        directory = os.environ.get(DIRECTORY)
        if not directory:
            return generate_latest(self._registry)
        _forget_the_dead(Path(directory))
        shared = CollectorRegistry()
        MultiProcessCollector(shared, directory)  # type: ignore[no-untyped-call]
        return generate_latest(shared)


def _forget_the_dead(directory: Path) -> None:
    """Drop what workers had in flight that were killed: nobody else takes it back."""
    for file in directory.glob("gauge_live*.db"):
        found = re.search(r"_(\d+)\.db$", file.name)
        if found and not _alive(int(found[1])):
            with contextlib.suppress(OSError):
                mark_process_dead(int(found[1]), str(directory))  # type: ignore[no-untyped-call]


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
