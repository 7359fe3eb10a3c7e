"""Prometheus metrics on ``/metrics``: requests, audio and predictions. Never a name, never a raw path.

Several workers share the counters through files, as ``prometheus_client`` does where ``PROMETHEUS_MULTIPROC_DIR`` is
set; ``bentoml serve`` sets it, and ``use_metrics_dir`` gives each server its own. BentoML's own metrics are
off: they make a series of every path that a client invents.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import onnxruntime
import psutil
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

import emotions
from emotions.audio.decode import SAMPLE_RATE
from emotions.audio.windows import FloatArray, IntArray
from emotions.predictor import Predictor
from emotions.runtime.prediction import Prediction
from serving.settings import SUPERVISOR
from serving.telemetry.drift.gauges import DriftMetrics
from serving.telemetry.grouped import FigureGroups, GroupedHistogram
from serving.telemetry.model_metrics import ModelMetrics
from serving.telemetry.requests import RequestContext
from serving.telemetry.shadow_metrics import ShadowMetrics
from serving.telemetry.stream_metrics import StreamMetrics

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""Where ``prometheus_client`` keeps the counters of several processes."""
_SHARED, _OWN = "prometheus_multiproc_dir", "emotions_metrics"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)
_FACTORS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3)


class Load(NamedTuple):
    """What a model has to do: bodies that arrive at its worker, requests in flight, seconds of audio that wait."""

    receiving: int
    in_flight: int
    queued_sec: float


class Metrics:
    """The metrics of one process.

    Args:
        registry: where they are registered; each name once.

    Attributes:
        loads: each tells what a model of this process has to do.
        models: those of each model.
        shadow: those of the shadow bundle.
        streams: those of the streams.
        drift: those of drift.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        use_metrics_dir()
        self._registry = registry
        self._figures = FigureGroups()
        self.loads: dict[object, Callable[[], Load]] = {}
        counter = partial(Counter, registry=registry)
        seconds = partial(GroupedHistogram, registry=registry, buckets=_SECONDS)
        histogram = partial(GroupedHistogram, registry=registry)
        sum_of_workers = partial(Gauge, registry=registry, multiprocess_mode="livesum")
        info = partial(Gauge, registry=registry, multiprocess_mode="max")

        self.requests = counter("emotions_requests", "Requests answered", ("route", "method", "status"))
        self.request_seconds = seconds("emotions_request_seconds", "Seconds of a request", ("route",))
        self.reject_seconds = seconds("emotions_reject_seconds", "Seconds until a request was shed")
        self.rejects = counter("emotions_rejects", "Requests and items refused, by the error's code", ("reason",))

        self.decode_seconds = seconds("emotions_decode_seconds", "Seconds of decoding one recording")
        self.queue_seconds = seconds("emotions_queue_seconds", "Seconds that one recording waited")
        what = "Seconds of one recording in the model, with what it shared"
        self.inference_seconds = seconds("emotions_inference_seconds", what)
        self.batch_seconds = seconds("emotions_batch_seconds", "Seconds of one run of the model")
        self.audio_seconds = counter("emotions_audio_seconds", "Seconds of audio classified")
        self.batch_size = histogram("emotions_batch_size", "Windows in one run of the model", buckets=_BATCHES)
        what = "Share of the samples of one run that are audio, not padding"
        self.padding_efficiency = histogram("emotions_padding_efficiency", what, buckets=_SHARES)
        what = "Seconds of decoding and of the model for one second of audio"
        self.real_time_factor = histogram("emotions_real_time_factor", what, buckets=_FACTORS)

        self.predictions = counter("emotions_predictions", "Recordings given a label", ("target", "label"))
        what = "Probability of the label given"
        self.confidence = histogram("emotions_confidence", what, ("target",), buckets=_SHARES)

        self.streams = StreamMetrics(registry)
        self.models = ModelMetrics(registry)
        self.shadow = ShadowMetrics(registry)
        self.drift = DriftMetrics(registry)
        self.in_flight = sum_of_workers("emotions_in_flight", "Requests that arrive or are being answered")
        self.receiving = sum_of_workers("emotions_receiving", "Requests whose bodies are arriving")
        self.queued_audio = sum_of_workers("emotions_queued_audio_seconds", "Seconds of audio that wait for the model")
        self.build = info("emotions_build_info", "Versions", ("version", "python", "onnxruntime"))
        self.bundle = info("emotions_bundle_info", "The bundle that is served", ("bundle", "variant", "device"))

    def describe_bundle(self, predictor: Predictor) -> None:
        """Set the version and bundle, and create the series of each label, which starts at zero."""
        self.build.labels(emotions.__version__, platform.python_version(), onnxruntime.__version__).set(1)
        self.bundle.labels(predictor.bundle.id, predictor.session.variant, predictor.session.device).set(1)
        for target, labels in predictor.manifest.labels.items():
            for label in labels:
                self.predictions.labels(target, label)

    def forget_bundle(self, predictor: Predictor) -> None:
        """Say that a bundle is served no longer."""
        self.bundle.labels(predictor.bundle.id, predictor.session.variant, predictor.session.device).set(0)

    def count_request(self, context: RequestContext) -> None:
        """Count a request that was answered."""
        route = context.route.path
        self._figures.add(self.requests, 1, route, context.method, str(context.status))
        self._figures.add(self.request_seconds, context.seconds, route)
        self._figures.write_soon()
        if context.code:
            self.rejects.labels(context.code).inc()
        if context.status in {429, 503}:
            self.reject_seconds.observe(context.seconds)

    def count_batch(self, waveform: FloatArray, length: IntArray, seconds: float) -> None:
        """Count a run of the model.

        Args:
            waveform: (batch, samples).
            length: (batch,), samples of each that are no padding.
            seconds: duration of the run.
        """
        self._figures.add(self.batch_seconds, seconds)
        self._figures.add(self.batch_size, len(length))
        self._figures.add(self.padding_efficiency, float(length.sum()) / max(waveform.size, 1))

    def count_recording(
        self, model: str, prediction: Prediction, decode_sec: float, queue_sec: float, inference_sec: float
    ) -> None:
        """Count a recording that was classified.

        Args:
            model: the name of its model.
            prediction: its prediction.
            decode_sec: seconds of decoding.
            queue_sec: seconds of waiting.
            inference_sec: seconds in the model.
        """
        add, audio_sec = self._figures.add, prediction.duration_sec
        add(self.decode_seconds, decode_sec)
        add(self.queue_seconds, queue_sec)
        add(self.inference_seconds, inference_sec)
        add(self.audio_seconds, audio_sec)
        add(self.real_time_factor, (decode_sec + inference_sec) / max(audio_sec, 1 / SAMPLE_RATE))
        for target, label in prediction.labels.items():
            add(self.predictions, 1, target, label)
            add(self.confidence, prediction.probabilities[target][label], target)
        add(self.models.recordings, 1, model)
        add(self.models.audio_seconds, audio_sec, model)
        add(self.models.inference_seconds, inference_sec, model)
        self._figures.write_soon()

    def write_soon(self) -> None:
        """Write what was counted, with what is until a moment from now."""
        self._figures.write_soon()

    def write(self) -> None:
        """Write what was counted of late, and set the gauges of this process to what it has to do now."""
        self._figures.write()
        self.set_load()

    def set_load(self) -> None:
        """Set the gauges of this process to what it has to do now."""
        if loads := [load() for load in [*self.loads.values()]]:
            receiving = max(load.receiving for load in loads)  # the models of a worker share its places
            self.receiving.set(receiving)
            self.in_flight.set(receiving + sum(load.in_flight for load in loads))
            self.queued_audio.set(sum(load.queued_sec for load in loads))

    def exposition(self) -> bytes:
        """All metrics of all workers, in the text format of Prometheus; the gauges of others are a moment old."""
        self.write()
        directory = os.environ.get(DIRECTORY)
        if not directory:
            return generate_latest(self._registry)
        _forget_dead_workers(Path(directory))
        shared = CollectorRegistry()
        MultiProcessCollector(shared, directory)  # type: ignore[no-untyped-call]
        return generate_latest(shared)


def _forget_dead_workers(directory: Path) -> None:
    """Remove the gauges of workers that were killed: they cannot decrease them any more."""
    for file in directory.glob("gauge_live*.db"):
        found = re.search(r"_(\d+)\.db$", file.name)
        if found and not psutil.pid_exists(int(found[1])):
            with contextlib.suppress(OSError):
                mark_process_dead(int(found[1]), str(directory))  # type: ignore[no-untyped-call]


def use_metrics_dir() -> None:
    """Move the counters of this worker to a folder of its server, beside BentoML's; remove those of ended servers.

    BentoML has one folder for all servers of a user, and empties it whenever one of them starts: the metrics of those
    that run already would be lost, and a restarted worker would count into the metrics of another server.
    """
    given = Path(os.environ.get(DIRECTORY, ""))
    if given.name != _SHARED:
        return
    folder = given.with_name(_OWN) / _server(int(os.environ.get(SUPERVISOR) or os.getppid()))
    folder.mkdir(parents=True, exist_ok=True)
    _remove_ended(folder.parent)
    os.environ[DIRECTORY] = str(folder)


def _server(process: int) -> str:
    """Unique name of a server: the process that started its workers, and when that was started."""
    return f"{platform.node()}_{process}_{_started(process)}"


def _started(process: int) -> int:
    """Start time of a process, in clock ticks since boot where Linux has it; 0 where there is no such process."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return int(fields[19])
    except (OSError, ValueError, IndexError):
        return int(psutil.Process(process).create_time()) if psutil.pid_exists(process) else 0


def _remove_ended(folders: Path) -> None:
    for folder in folders.glob(f"{platform.node()}_*_*"):
        process = folder.name.split("_")[-2]
        if process.isdecimal() and folder.name != _server(int(process)):
            shutil.rmtree(folder, ignore_errors=True)
