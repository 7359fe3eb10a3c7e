"""Prometheus metrics of the streams of one process."""

from __future__ import annotations

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class StreamMetrics:
    """The metrics of the streams of one process.

    Args:
        registry: where they are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        counter = partial(Counter, registry=registry)
        gauge = partial(Gauge, registry=registry, multiprocess_mode="livesum")
        self.open = gauge("emotions_streams", "Streams that are open")
        self.ended = counter("emotions_stream_sessions", "Streams that have ended, by the reason", ("reason",))
        self.audio_seconds = counter("emotions_stream_audio_seconds", "Seconds of audio that streams brought")
        what = "Seconds from the audio that made a measurement due to its answer"
        self.lag = Histogram("emotions_stream_lag_seconds", what, registry=registry, buckets=_SECONDS)
