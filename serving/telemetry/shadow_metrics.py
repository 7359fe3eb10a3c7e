"""Metrics of a shadow bundle: by how much its answers differ from the live ones."""

from __future__ import annotations

from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

Outcome = Literal["compared", "dropped", "failed"]
_DIFFERENCES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 1)


class ShadowMetrics:
    """The metrics of the shadow of one process.

    Args:
        registry: where they are registered; each name once.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        what = "Whether the shadow bundle is loaded, in every worker"
        self.ready = Gauge("emotions_shadow_ready", what, registry=registry, multiprocess_mode="livemin")
        what = "Recordings of its share, by what became of them"
        self.recordings = Counter("emotions_shadow_recordings", what, ("outcome",), registry=registry)
        what = "Recordings that the shadow gives another label"
        self.disagreements = Counter("emotions_shadow_disagreements", what, ("target",), registry=registry)
        what = "Mean absolute difference of a recording's probabilities, or of its values as shares of their range"
        self.difference = Histogram(
            "emotions_shadow_difference", what, ("target",), registry=registry, buckets=_DIFFERENCES
        )

    def count(self, outcome: Outcome) -> None:
        """Count a recording by what became of it."""
        self.recordings.labels(outcome).inc()
